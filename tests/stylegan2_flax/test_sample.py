"""The command `python -m stylegan2_flax.sample`: what it writes, and what it says when it cannot."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from flax import nnx
from PIL import Image

import stylegan2_flax as sg2
from stylegan2_flax import media, sample
from stylegan2_flax.sampling import Sampler


@pytest.fixture(scope="module")
def build(untrained):
    def build(img_resolution=8, img_channels=3, c_dim=0):
        blocks = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"channel_max": 8}}
        return untrained(lambda rngs: sg2.Generator(8, c_dim, 12, img_resolution, img_channels, **blocks, rngs=rngs))

    return build


@pytest.fixture(scope="module")
def generator(build):
    return build()


@pytest.fixture(scope="module")
def checkpoint(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    sg2.save(generator, path)
    return path


def run(checkpoint, options, out):
    sample.main(["sample", str(checkpoint), *options.split(), "--out", str(out)])


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def pictures(generator, seeds, **options):
    sampler = Sampler(generator, **options)
    return np.stack(list(sampler.images(sampler.ws(sampler.z(seeds)), seeds))).astype(int)


def test_a_grid_holds_its_seeds_in_order(tmp_path, generator, checkpoint, capsys):
    run(checkpoint, "--seeds 5,0-2,9 --psi 0.5 --noise_mode none", tmp_path / "new" / "grid.png")
    grid, expected = (
        read(tmp_path / "new" / "grid.png"),
        pictures(generator, [5, 0, 1, 2, 9], psi=0.5, noise_mode="none"),
    )
    assert grid.shape == (18, 28, 3)  # 3 x 2, with gaps of two
    for place, picture in enumerate(expected):
        y, x = 10 * (place // 3), 10 * (place % 3)
        assert np.abs(grid[y : y + 8, x : x + 8] - picture).max() <= 1
    assert np.all(grid[10:, 20:] == 255)
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'new' / 'grid.png'}\n"


def test_a_grid_has_the_shape_that_is_asked_for(tmp_path, checkpoint):
    run(checkpoint, "--seeds 0-4 --grid 6x1 --numpy_seeds --dtype bfloat16", tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").shape == (8, 58, 3)


def test_a_folder_holds_a_file_for_each_seed(tmp_path, generator, checkpoint, monkeypatch):
    monkeypatch.setattr(sample, "_PART", 5)
    run(checkpoint, "--seeds 0-8,12345 --batch 3 --numpy_seeds", tmp_path / "pictures")
    names = [*(f"seed000{seed}.png" for seed in range(9)), "seed12345.png"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
    expected = [
        *pictures(generator, range(5), numpy_seeds=True),
        *pictures(generator, [*range(5, 9), 12345], numpy_seeds=True),
    ]
    for name, picture in zip(names, expected, strict=True):
        assert np.abs(read(tmp_path / "pictures" / name) - picture).max() <= 1


def test_a_table_mixes_the_layers_of_two_seeds(tmp_path, generator, checkpoint):
    run(checkpoint, "--mix 1,2:3-5:0,2-3 --psi 0.8", tmp_path / "mix.png")
    table, sampler = read(tmp_path / "mix.png"), Sampler(generator, psi=0.8)
    assert table.shape == (8 + 8 + 18, 8 + 8 + 28, 3)  # headers, their wider gap, and 3 x 2 cells
    heads = sampler.ws(sampler.z([1, 2, 3, 4, 5]))
    mixed = heads[1].copy()
    mixed[[0, 2, 3]] = heads[4][[0, 2, 3]]
    row_two, column_three, cell = np.stack(list(sampler.images(np.stack([heads[1], heads[4], mixed]), [0] * 3)))
    assert np.abs(table[26:34, :8] - row_two).max() <= 1
    assert np.abs(table[:8, 36:44] - column_three).max() <= 1
    assert np.abs(table[26:34, 36:44] - cell).max() <= 1
    assert np.all(table[:16, :16] == 255)


@pytest.mark.parametrize("path", ["", "--video slerp"])
def test_a_video_passes_through_every_seed(tmp_path, generator, checkpoint, path):
    run(checkpoint, f"--seeds 0-4 --frames 2 --fps 10 --batch 5 {path}", tmp_path / "loop.gif")
    expected = pictures(generator, range(5))
    with Image.open(tmp_path / "loop.gif") as clip:
        assert getattr(clip, "n_frames", 1) == 10
        assert clip.info["duration"] == 100
        for i, picture in enumerate(expected):
            clip.seek(2 * i)
            assert np.abs(np.asarray(clip.convert("RGB")).astype(int) - picture).mean() < 12  # 256 colours, dithered


def test_a_conditional_generator_draws_the_class(tmp_path, build):
    generator = build(img_resolution=4, c_dim=2)
    sg2.save(generator, tmp_path / "two.safetensors")
    run(tmp_path / "two.safetensors", "--seeds 3 --class 1", tmp_path / "a.png")
    of_class = pictures(generator, [3], label=1)[0]
    assert np.abs(read(tmp_path / "a.png") - of_class).max() <= 1
    assert np.abs(pictures(generator, [3], label=0)[0] - of_class).max() > 1
    with pytest.raises(SystemExit, match=r"^error: this generator is conditional"):
        run(tmp_path / "two.safetensors", "--seeds 0", tmp_path / "b.png")


def test_a_discriminator_draws_nothing(tmp_path, randomized):
    discriminator = randomized(lambda: sg2.Discriminator(img_resolution=8, channel_max=8, rngs=nnx.Rngs(0)))
    sg2.save(discriminator, tmp_path / "d.safetensors")
    with pytest.raises(SystemExit, match=r"^error: .*d\.safetensors holds a discriminator"):
        run(tmp_path / "d.safetensors", "--seeds 0", tmp_path / "a.png")


def test_what_is_there_stays_unless_forced(tmp_path, checkpoint):
    media.save_image(np.zeros((2, 2, 3), np.uint8), tmp_path / "seed0001.png")
    for out in (tmp_path / "seed0001.png", tmp_path):
        with pytest.raises(SystemExit, match=r"^error: .*seed0001\.png exists already: .*--force"):
            run(checkpoint, "--seeds 0-2", out)
    assert read(tmp_path / "seed0001.png").shape == (2, 2, 3)
    run(checkpoint, "--seeds 0-2 --force", tmp_path)
    assert read(tmp_path / "seed0001.png").shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("options", "out", "message"),
    [
        ("--seeds 0-", "a.png", "seeds '0-': write .* such as 0-15"),
        ("--seeds 5-2", "a.png", "seeds '5-2': write"),
        ("--seeds 1,,2", "a.png", "seeds '1,,2': write"),
        ("--seeds 0-99999999999", "a.png", "at most 100000 numbers"),
        ("--seeds 4294967296", "a.png", "a seed is at most 4294967295"),
        ("--seeds 0 --class 1", "a.png", "has no classes"),
        ("--seeds 0", "a.bmp", r"the file type must be one of \.png"),
        ("--seeds 0-8 --grid 2x4", "a.png", "a place for each of the 9 seeds"),
        ("--seeds 0-8 --grid 3", "a.png", "write COLSxROWS"),
        ("--seeds 0-3 --grid 2x2", "a.gif", "--grid is for pictures"),
        ("--seeds 0-3 --frames 9", "a.png", "--frames is for videos"),
        ("--seeds 0", "a.mp4", "at least two seeds"),
        ("--seeds 0-1 --frames 0", "a.gif", "--frames and --fps of at least 1"),
        ("--mix 0:1:0-3", "folder", "--mix makes one picture"),
        ("--mix 0:1:4", "a.png", "has the layers 0 to 3; --mix has 4"),
        ("--mix 0:1:0-3 --seeds 2", "a.png", "either --seeds or --mix"),
        ("--mix 0-3", "a.png", "write ROW_SEEDS:COLUMN_SEEDS:LAYERS"),
        ("--psi 0.5", "a.png", "either --seeds or --mix"),
        ("--seeds 0 --psi nan", "a.png", "psi must be a finite number, got nan"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path, checkpoint, options, out, message):
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as stop:
        run(checkpoint, options, tmp_path / out)
    assert "\n" not in str(stop.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["file", "file/folder", "file/folder/deeper"])
def test_a_file_in_place_of_a_folder_is_named_before_anything_is_loaded(tmp_path, out):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SystemExit, match=f"^error: .*{out} cannot be written: .*/file is a file$"):
        run(tmp_path / "absent.pkl", "--seeds 0", tmp_path / out)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"^error: .*absent\.pkl") as stop:
        run(tmp_path / "absent.pkl", "--seeds 0", tmp_path / "a.png")
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_generator_of_any_number_of_channels_is_drawn_in_every_way(tmp_path, build, channels):
    sg2.save(build(img_resolution=4, img_channels=channels), tmp_path / "g.safetensors")
    for options, out in (  # three latents each, so that one program draws them all
        ("--seeds 0-2 --batch 3", "grid.png"),
        ("--seeds 0-2 --batch 3", "grid.jpg"),
        ("--mix 0:1,2:0 --batch 3", "mix.webp"),
        ("--seeds 0-2 --frames 2 --batch 3", "a.gif"),
        ("--seeds 4-6 --batch 3", "folder"),
    ):
        run(tmp_path / "g.safetensors", options, tmp_path / out)
    with Image.open(tmp_path / "folder" / "seed0005.png") as picture:
        assert picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]


def test_ctrl_c_is_one_line_and_leaves_whole_files(tmp_path, checkpoint, monkeypatch, capsys):
    save, out = media.save_image, tmp_path / "pictures"

    def save_and_interrupt(image, path):
        save(image, path)
        if path.name == "seed0002.png":
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(media, "save_image", save_and_interrupt)
    with pytest.raises(SystemExit) as stop:
        run(checkpoint, "--seeds 0-4", out)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "Interrupted. Every file that was written is whole.\n"
    assert sorted(path.name for path in out.iterdir()) == [f"seed000{seed}.png" for seed in range(3)]
    for path in out.iterdir():
        assert read(path).shape == (8, 8, 3)


@pytest.mark.slow
def test_ctrl_c_from_outside(tmp_path, checkpoint):
    command = [sys.executable, "-m", "stylegan2_flax.sample", str(checkpoint), "--seeds", "0-99999"]
    out = tmp_path / "pictures"
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(out.glob("seed*.png")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "Interrupted. Every file that was written is whole.\n"
    for path in out.iterdir():
        assert read(path).shape == (8, 8, 3)
