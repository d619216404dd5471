"""python -m disentangle_jax.transfer: what it writes, and what it says to a wrong call."""

import importlib.util
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import stylegan2_flax as sg2
from disentangle_jax import batching, media, transfer
from disentangle_jax.configs import gan_faces64
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion.latent_files import write_latents
from stylegan2_flax import command
from stylegan2_flax.run import config_record

pytestmark = pytest.mark.filterwarnings("ignore:.*holds latents up to")  # those here are random numbers
LAYERS, W_DIM = 4, 8
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch, model, workdir):
    load = Disentangler.load
    monkeypatch.setattr(Disentangler, "load", lambda name: model if name == str(workdir) else load(name))


@pytest.fixture(scope="module")
def model(workdir):
    return Disentangler.load(workdir)


def call(model, folder, source, driving, out="out.png", **options: Any):
    """Run with these flags; give the path that was to be written."""
    path = folder / out
    values = {"model": model, "source": source, "driving": driving, "out": path, **options}
    given = [f"--{name}={value}" for name, value in values.items() if value is not None]
    command.run(transfer.main, transfer.FLAGS, ["transfer", *given])
    return path


def latents(folder, *shape, name="ws.npy", dtype=np.float32):
    np.save(folder / name, RNG.normal(scale=0.1, size=shape).astype(dtype))
    return str(folder / name)


@pytest.mark.parametrize("out", ["a.png", "b.jpg", "new/folder/c.webp"])
def test_two_faces_give_a_picture_of_three(workdir, tmp_path, out):
    with Image.open(call(workdir, tmp_path, "seed:1", "seed:2", out)) as image:
        assert image.width > 3 * 256
        assert image.height > 256


def test_the_three_are_source_driving_and_result(workdir, tmp_path):
    same = np.asarray(Image.open(call(workdir, tmp_path, "seed:1", "seed:2", strength=0.0)))
    other = np.asarray(Image.open(call(workdir, tmp_path, "seed:3", "seed:2", "other.png")))
    width = 256 + 3
    assert np.array_equal(same[:, width : 2 * width - 3], other[:, width : 2 * width - 3])
    assert not np.array_equal(same[:, : width - 3], other[:, : width - 3])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"relative": True},
        {"relative": True, "reference": "best"},
        {"relative": True, "reference": "mean", "smooth": True},
        {"psi": 0.5},
    ],
)
def test_a_clip_gives_a_video(workdir, tmp_path, options):
    path = call(workdir, tmp_path, "seed:1", "clip:2", "out.gif", **options)
    with Image.open(path) as clip:
        assert getattr(clip, "n_frames", 1) == 6


def durations(path):
    """Of the frames of a GIF, in milliseconds."""
    with Image.open(path) as clip:
        frames = range(getattr(clip, "n_frames", 1))
        return [clip.seek(frame) or clip.info["duration"] for frame in frames]


def test_a_video_keeps_the_rate_of_the_driving_or_takes_another(workdir, tmp_path):
    ws = RNG.normal(scale=0.1, size=(5, LAYERS, W_DIM)).astype(np.float32)
    save_file({"ws": ws}, tmp_path / "ws.safetensors", {"fps": "25"})
    driving = str(tmp_path / "ws.safetensors")
    assert durations(call(workdir, tmp_path, "seed:1", driving, "kept.gif")) == [40] * 5
    assert durations(call(workdir, tmp_path, "seed:1", driving, "set.gif", fps=10)) == [100] * 5
    assert sum(durations(call(workdir, tmp_path, "seed:1", "clip:2", "own.gif"))) == 500  # six frames at 12 a second


def test_frames_are_drawn_a_batch_at_a_time_and_a_still_face_once(model, workdir, tmp_path, monkeypatch):
    whole = call(workdir, tmp_path, "seed:1", "clip:2", "whole")
    drawn, render = [], model.render

    def count(ws):
        drawn.append(len(ws))
        return render(ws)

    monkeypatch.setattr(model, "render", count)
    monkeypatch.setattr(batching, "_PIXELS", 2 * 8 * 8)  # two images at once
    batches = call(workdir, tmp_path, "seed:1", "clip:2", "batches")
    frames, expected = (np.stack(list(media.read_frames(path))).astype(int) for path in (batches, whole))
    assert frames.shape == expected.shape
    assert np.abs(frames - expected).max() <= 1  # batches of another size are rounded differently
    assert (frames != expected).mean() < 1e-3
    assert sorted(drawn) == [1] + [2] * 6  # the source; three batches of the driving and of the result


def test_an_mp4_too(workdir, tmp_path):
    pytest.importorskip("av")
    assert call(workdir, tmp_path, "seed:1", "clip:2", "out.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("shape", [(W_DIM,), (LAYERS, W_DIM), (5, LAYERS, W_DIM)])
def test_latent_files_of_every_shape_are_read(workdir, tmp_path, shape):
    out = "out.gif" if len(shape) == 3 else "out.png"
    assert call(workdir, tmp_path, "seed:1", latents(tmp_path, *shape), out).exists()


def test_the_generator_that_was_tuned_to_latents_draws_them(model, workdir, tmp_path):
    arrays = sg2.to_state_dict(model.generator)
    last = [name for name in arrays if name.endswith("torgb.bias")][-1]
    brighter = sg2.from_state_dict(arrays | {last: arrays[last] + 0.5}, kind="generator", **model.generator.init_kwargs)
    sg2.save(brighter, tmp_path / "tuned.safetensors")
    ws = np.zeros((1, LAYERS, W_DIM), np.float32)
    write_latents(tmp_path / "plain.safetensors", ws, model.generator)
    write_latents(tmp_path / "exact.safetensors", ws, model.generator, tuned=(tmp_path / "tuned.safetensors", brighter))
    shown = []
    for name in ("plain", "exact"):
        out = call(workdir, tmp_path, tmp_path / f"{name}.safetensors", "seed:2", f"{name}.png", show="result")
        shown.append(media.load_image(out))
    assert 0.2 < np.mean(shown[1] - shown[0]) < 0.6


def test_an_npz_is_read_by_its_only_array_or_by_name(workdir, tmp_path):
    np.savez(tmp_path / "one.npz", codes=RNG.normal(scale=0.1, size=(LAYERS, W_DIM)))
    np.savez(tmp_path / "two.npz", ws=RNG.normal(scale=0.1, size=(LAYERS, W_DIM)), other=np.zeros(3))
    assert call(workdir, tmp_path, str(tmp_path / "one.npz"), str(tmp_path / "two.npz")).exists()


def test_a_folder_that_is_called_a_workdir_is_a_model_too(workdir, tmp_path):
    call(None, tmp_path, "seed:1", "seed:2", workdir=workdir)


def test_what_is_there_is_written_over_only_by_force(workdir, tmp_path):
    (tmp_path / "out.png").write_text("mine")
    with pytest.raises(SystemExit, match=r"out\.png exists already: give another --out, or --force"):
        call(workdir, tmp_path, "seed:1", "seed:2")
    assert (tmp_path / "out.png").read_text() == "mine"
    call(workdir, tmp_path, "seed:1", "seed:2", force=True)
    assert (tmp_path / "out.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(("channels", "c_dim", "resolution"), [(1, 3, 4), (4, 0, 8)])
def test_grey_transparent_and_conditional_generators_are_drawn(export_untrained, tmp_path, channels, c_dim, resolution):
    export_untrained(tmp_path / "model", resolution, c_dim, channels)
    label: dict[str, Any] = {"class": 2} if c_dim else {}
    with Image.open(call(tmp_path / "model", tmp_path, "seed:1", "seed:2", **label)) as image:
        assert image.mode == "RGB"
    if c_dim:
        call(tmp_path / "model", tmp_path, "seed:1", "clip:2", "out.gif", **{"class": 1})
        call(tmp_path / "model", tmp_path, "seed:1", "seed:2", "other.png", **{"class": 1})
        assert (tmp_path / "other.png").read_bytes() != (tmp_path / "out.png").read_bytes()
        with pytest.raises(SystemExit, match="there is no class 3: this generator has the classes 0 to 2"):
            call(tmp_path / "model", tmp_path, "seed:1", "seed:2", "no.png", **{"class": 3})
    else:
        with pytest.raises(SystemExit, match="it has no classes"):
            call(tmp_path / "model", tmp_path, "seed:1", "seed:2", "no.png", **{"class": 0})


def test_a_workdir_of_the_gan_trainer_is_told_apart(tmp_path):
    config_record.write_config(gan_faces64.get_config(), tmp_path)
    with pytest.raises(SystemExit, match=r"is a training of a StyleGAN2.*--config\.generator=") as stop:
        call(tmp_path, tmp_path, "seed:1", "seed:2")
    assert "\n" not in str(stop.value.code)


def test_a_record_of_an_older_version_is_told_what_it_lacks(workdir, tmp_path):
    config = json.loads((workdir / "config.json").read_text())
    del config["clips"]["classes"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match=r"config\.json lacks clips\.classes: it is of an older version") as stop:
        call(tmp_path, tmp_path, "seed:1", "seed:2")
    assert "\n" not in str(stop.value.code)


def test_an_interrupt_leaves_no_half_video(workdir, model, tmp_path, monkeypatch, capsys):
    render = model.render
    monkeypatch.setattr(batching, "_PIXELS", 2 * 8 * 8)
    calls = iter([render, render, render, interrupted])
    monkeypatch.setattr(model, "render", lambda ws: next(calls)(ws))
    for out in ("out.gif", "out.mp4"):
        with pytest.raises(SystemExit) as stop:
            call(workdir, tmp_path, "seed:1", "clip:2", out)
        assert stop.value.code == 130
        assert capsys.readouterr().err == "Interrupted. Every file that was written is whole.\n"
        calls = iter([render, render, render, interrupted])
    assert list(tmp_path.iterdir()) == []


def interrupted(ws):
    raise KeyboardInterrupt


def wrong_calls(folder):
    """Arguments, and what the message must say."""
    (folder / "text.npy").write_text("no array")
    np.savez(folder / "many.npz", a=np.zeros(3), b=np.zeros(3))
    whole = latents(folder, 5, LAYERS, W_DIM, name="whole.npy")
    (folder / "cut.npy").write_bytes((folder / "whole.npy").read_bytes()[:-9])
    np.savez(folder / "whole.npz", ws=RNG.normal(scale=0.1, size=(5, LAYERS, W_DIM)))
    (folder / "cut.npz").write_bytes((folder / "whole.npz").read_bytes()[:-99])
    nan = np.full((LAYERS, W_DIM), np.nan, np.float32)
    np.save(folder / "nan.npy", nan)
    np.save(folder / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save(folder / "words.npy", np.full((LAYERS, W_DIM), "w"))
    np.save(folder / "empty.npy", np.zeros((0, LAYERS, W_DIM), np.float32))
    (folder / "face.png").write_bytes(b"")
    shapes = r"\[8\], \[4, 8\] or \[frames, 4, 8\]"
    return [
        (("seed:one", "seed:2"), "seed:1"),
        (("clip:", "seed:2"), "number after the colon"),
        (("seed:1", "nowhere.npy"), "no latent file at nowhere.npy"),
        (("seed:1", str(folder / "text.npy")), "no .npy or .npz file"),
        (("seed:1", str(folder / "cut.npy")), "cut short"),
        (("seed:1", str(folder / "cut.npz")), "cut short"),
        (("seed:1", str(folder / "many.npz")), "2 arrays"),
        (("seed:1", str(folder / "nan.npy")), "not finite"),
        (("seed:1", str(folder / "objects.npy")), "holds pickled Python objects, not an array"),
        (("seed:1", str(folder / "words.npy")), "real numbers"),
        (("seed:1", str(folder / "empty.npy")), shapes),
        (("seed:1", latents(folder, LAYERS + 1, W_DIM, name="tall.npy")), shapes),
        (("seed:1", latents(folder, 2, 3, LAYERS, W_DIM, name="deep.npy")), shapes),
        (("seed:1", str(folder / "face.png")), "face.png is no picture and no video"),
        (
            ("seed:1", whole, "out.png"),
            "the result is a clip, as whole.npy is: end --out in .gif, .mp4, .webp, or none",
        ),
        (("seed:1", "seed:2", "out.gif"), "single picture"),
        (("seed:1", "seed:2", "out.tiff"), "must be one of"),
        (("seed:1", "seed:99999999999999999999"), "from 0 to 4294967295"),
        (("seed:4294967296", "seed:1"), "from 0 to 4294967295"),
    ]


def test_wrong_calls_get_one_clear_line_and_write_nothing(workdir, tmp_path):
    calls = wrong_calls(tmp_path)
    before = sorted(tmp_path.iterdir())
    for arguments, message in calls:
        with pytest.raises(SystemExit, match=message) as stop:
            call(workdir, tmp_path, *arguments)
        assert "\n" not in str(stop.value.code), arguments
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": "nan"}, "--strength must be a finite number; got nan"),
        ({"psi": "inf"}, "--psi must be a finite number; got inf"),
        ({"reference": "best"}, "--reference is the frame that --relative measures motion from"),
        ({"relative": True, "reference": "worst"}, "say first, best, mean, or a frame's number, from 0"),
        ({"fps": 0, "out": "out.gif"}, r"from 0\.01 to 1000 frames a second, got 0"),
        ({"fps": 5000, "out": "out.mp4"}, r"from 0\.01 to 1000 frames a second, got 5000"),
        ({"fps": 25}, r"--fps is for videos: end --out in \.gif"),
        ({"source": "a.npy", "driving": "b.npy", "psi": 0.5}, "--psi is for seed:N and clip:N"),
        ({"source": "a.npy", "driving": "b.npy", "class": 1}, "--class is for seed:N and clip:N"),
        ({"out": "folder.png"}, "is a folder"),
        ({"out": "file/out.png"}, "is a file"),
    ],
)
def test_what_can_be_known_is_told_before_anything_is_loaded(tmp_path, options, message):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SystemExit, match=message) as stop:
        call("/nowhere", tmp_path, **{"source": "seed:1", "driving": "seed:2", **options})
    assert "\n" not in str(stop.value.code)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reference": "worst"}, "first, best, mean, or a frame's number"), ({"reference": "99"}, "frame 99")],
)
def test_a_wrong_reference_is_told_before_anything_is_inverted(workdir, tmp_path, monkeypatch, options, message):
    monkeypatch.delattr(transfer, "encode")
    with pytest.raises(SystemExit, match=message):
        call(workdir, tmp_path, "seed:1", "clip:2", "out.gif", relative=True, **options)
    assert not (tmp_path / "out.gif").exists()


def test_relative_motion_needs_a_clip(workdir, tmp_path):
    with pytest.raises(
        SystemExit, match="--relative carries over the motion of a clip, but --driving=seed:2 is a single face"
    ):
        call(workdir, tmp_path, "seed:1", "seed:2", relative=True)


def test_smoothing_needs_a_clip(workdir, tmp_path):
    with pytest.raises(SystemExit, match="--smooth calms the motion of a clip, but --driving=seed:2 is a single face"):
        call(workdir, tmp_path, "seed:1", "seed:2", smooth=True)


def test_an_animation_that_cannot_be_written_is_told_before_anything_is_inverted(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delattr(transfer, "encode")
    with pytest.raises(SystemExit, match="videos need PyAV"):
        call(workdir, tmp_path, "seed:1", "clip:2", "out.webp")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(SystemExit, match="--source is missing"):
        call(tmp_path, tmp_path, None, "seed:1")
    with pytest.raises(SystemExit, match=r"config\.json"):
        call(tmp_path, tmp_path, "seed:1", "seed:2")
