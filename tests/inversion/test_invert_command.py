"""python -m disentangle_jax.invert: what it writes of photos and clips, and what it says to a wrong call."""

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import stylegan2_flax as sg2
from disentangle_jax import invert, media
from disentangle_jax.generators import load_generator
from disentangle_jax.inversion.latent_files import read_latents
from stylegan2_flax import command

SHORT = ("--steps=4", "--config.scout.steps=2", "--config.starts=1", "--config.candidates=2", "--batch_size=2")


@pytest.fixture(scope="module")
def network(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    sg2.save(generator, path)
    return path


@pytest.fixture
def photos(images, tmp_path):
    for number in range(3):
        media.save_image(images[number], tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def call(network, source, out, *options):
    given = [f"--generator={network}", f"--input={source}", f"--out={out}", *options]
    command.run(invert.main, invert.FLAGS, ["invert", *given])


@pytest.mark.filterwarnings("ignore:.* not inverted well")
def test_photos_give_latents_a_picture_and_a_tuned_generator(network, photos, tmp_path, capsys):
    out = tmp_path / "new" / "latents.safetensors"
    call(network, photos, out, *SHORT, "--tune_steps=3")
    text = capsys.readouterr().out
    assert text.count("standard deviations from the mean latent") == 3
    assert "tuned: PSNR" in text
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "latents.png",
        "latents.safetensors",
        "latents_generator.safetensors",
    ]
    found = read_latents(out, load_generator(network))
    assert (found.ws.shape, found.fps) == ((3, 4, 8), None)
    assert found.tuned == out.with_name("latents_generator.safetensors")
    read_latents(out, load_generator(str(found.tuned)))  # of which they are latents, too
    with Image.open(out.with_suffix(".png")) as picture:
        assert picture.height > 3 * 256


@pytest.mark.filterwarnings("ignore:.* not inverted well")
def test_a_clip_gives_latents_with_its_rate_and_a_clip(network, images, tmp_path, capsys):
    media.save_video(images, tmp_path / "clip.gif", fps=10)
    out = tmp_path / "latents.safetensors"
    call(network, tmp_path / "clip.gif", out, *SHORT, "--space=w")
    assert "frame 4: PSNR" in capsys.readouterr().out
    found = read_latents(out, load_generator(network))
    assert (found.ws.shape, found.fps, found.tuned) == ((5, 4, 8), 10, None)
    np.testing.assert_array_equal(found.ws, np.broadcast_to(found.ws[:, :1], found.ws.shape))
    with Image.open(tmp_path / "latents.gif") as clip:
        assert getattr(clip, "n_frames", 1) == 5


@pytest.mark.filterwarnings("ignore:.* not inverted well")
def test_a_long_clip_is_inverted_in_pieces_that_go_on_from_each_other(network, images, tmp_path, monkeypatch, capsys):
    """No more than a piece of it is ever in memory, when the generator is tuned to it neither."""
    seen, original = [], invert.invert

    def watched(images, **options):
        found = original(images, **options)
        seen.append((len(images), None if options["before"] is None else options["before"].ws[-1], found.ws[-1]))
        return found

    monkeypatch.setattr(invert, "invert", watched)
    media.save_video(images, tmp_path / "clip.gif", fps=10)
    out = tmp_path / "latents.safetensors"
    call(network, tmp_path / "clip.gif", out, *SHORT, "--config.images_per_piece=2", "--tune_steps=2")
    assert "tuned: PSNR" in capsys.readouterr().out
    sizes, before, last = zip(*seen, strict=True)
    assert sizes == (2, 2, 2)  # the last one repeats its only frame
    assert before[0] is None
    np.testing.assert_array_equal(before[1:], last[:-1])
    assert read_latents(out, load_generator(network)).ws.shape == (5, 4, 8)
    with Image.open(tmp_path / "latents.gif") as clip:
        assert getattr(clip, "n_frames", 1) == 5


@pytest.mark.filterwarnings("ignore:.* not inverted well")
def test_photos_of_a_folder_are_inverted_in_pieces_each_for_itself(network, photos, images, tmp_path):
    media.save_video(images[:2], photos / "3.gif", fps=10)  # of an animation the first picture
    whole, pieces = tmp_path / "whole.safetensors", tmp_path / "pieces.safetensors"
    call(network, photos, whole, *SHORT)
    call(network, photos, pieces, *SHORT, "--config.images_per_piece=2")
    read = [read_latents(path, load_generator(network)) for path in (whole, pieces)]
    assert [(found.ws.shape, found.are_photos) for found in read] == [((4, 4, 8), True)] * 2
    np.testing.assert_allclose(read[0].ws, read[1].ws, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nothing.png", (), "there is no picture or video at"),
        ("photos", ("--out=x.npy",), "the file type must be one of .safetensors"),
        ("photos", ("--method=encoder",), "needs an encoder, and none is registered for this generator"),
        ("photos", ("--encoder=e4e.pt", "--method=optimise"), "searches from samples, without an encoder"),
        ("photos", ("--encoder=nothing.pt",), "there is no encoder 'nothing.pt'"),
        ("photos", ("--align=ffhq", "--face_finder=nobody"), "unknown face finder 'nobody'"),
        ("photos", ("--distance=magic",), "unknown distance 'magic'"),
        ("photos", ("--model=runs/demo",), "either --model or --generator"),
        ("photos", ("--config.optimise.learning_rate=0",), "optimise.learning_rate must be positive, got 0.0"),
        ("photos", ("--config.warn_below_psnrly=1",), "the config has no field"),
        ("broken.png", (), "broken.png is damaged or cut short"),
        ("empty", (), "there are no pictures in the folder"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(network, photos, tmp_path, source, options, message):
    (tmp_path / "broken.png").write_bytes((photos / "0.png").read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stop:
        call(network, tmp_path / source, tmp_path / "latents.safetensors", *SHORT, *options)
    assert str(stop.value).startswith("error: ")
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)
    assert not list(tmp_path.glob("latents*"))


def test_what_is_there_is_not_written_over_unless_asked(network, photos, tmp_path):
    (tmp_path / "latents.png").touch()
    with pytest.raises(SystemExit, match=r"latents\.png exists already: give another --out, or --force"):
        call(network, photos, tmp_path / "latents.safetensors", *SHORT)


@pytest.mark.parametrize(("source", "out"), [("0.png", "0.safetensors"), ("", "1.safetensors")])
def test_what_is_inverted_is_not_written_over_even_if_asked(network, photos, source, out):
    """The comparison lies beside the latents, under their name: here that of a photo."""
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    with pytest.raises(SystemExit, match=r"\.png is of what is inverted, and would be written over"):
        call(network, photos / source, photos / out, "--force")
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before


def test_photos_are_grey_to_a_grey_generator_as_they_are_in_transfer(tmp_path):
    sizes = {"channel_base": 64, "channel_max": 4}
    grey = jax.jit(lambda: sg2.Generator(4, 0, 4, 8, 1, synthesis_kwargs=sizes, rngs=nnx.Rngs(0)))()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    [image] = invert.read_pictures(media.read_frames(tmp_path / "red.png"), grey, "a user's own", "none")
    assert image.shape == (8, 8, 1)
    np.testing.assert_allclose(image, 2 * 76 / 255 - 1, atol=1e-6)  # the luma of red


@pytest.mark.filterwarnings("ignore:.* not inverted well")
@pytest.mark.filterwarnings("ignore:Error writing persistent compilation cache")
@pytest.mark.parametrize("tuned", [(), ("--tune_steps=1",)])
def test_a_full_disk_is_one_line_and_leaves_nothing(network, photos, tmp_path, full_disk, tuned):
    full_disk(2_000)  # the latents fit, the picture does not
    with pytest.raises(SystemExit, match=r"^error: .*latents\.safetensors could not be written, for the disk is full"):
        call(network, photos, tmp_path / "latents.safetensors", *SHORT, *tuned)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_poor_inversions_are_warned_about_and_many_are_summed_up(ws, capsys):
    found = invert.Found(np.tile(ws, (2, 1, 1)), np.r_[np.full(8, 30.0), 12.0, 14.0], np.full(10, 4.5))
    with pytest.warns(UserWarning, match="not inverted well|up to 4.5") as told:
        invert.report(found, 20.0, is_clip=True)
    assert "10 frames: PSNR 26.6 dB on average, least 12.0 dB (frame 8); 4.50 standard" in capsys.readouterr().out
    first, second = (str(warning.message) for warning in told)
    assert first.startswith("2 frames, the first of them 8, were not inverted well (below 20 dB)")
    assert second.startswith("latents are up to 4.5 standard deviations from the mean")
