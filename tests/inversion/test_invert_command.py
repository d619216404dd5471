"""python -m disentangle_jax.invert: what it writes of photos and clips, and what it says to a wrong call."""

import gc
import weakref
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import stylegan2_flax as sg2
from disentangle_jax import invert, media
from disentangle_jax.configs import inversion
from disentangle_jax.generators import load_generator
from disentangle_jax.inversion import portraits, tuning
from disentangle_jax.inversion.latent_files import read_latents
from disentangle_jax.inversion.opening import read_images
from disentangle_jax.inversion.optimisation import redraw
from disentangle_jax.inversion.pieces import Piece
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
def test_a_long_clip_is_inverted_and_shown_in_pieces(network, images, tmp_path, monkeypatch, capsys):
    """Pieces go on from each other. What is read of a clip is dropped once its piece is done, by tuning as well."""
    most, read, started = 0, [], []

    def watched(function):
        def call(*args, **options):
            nonlocal most
            gc.collect()
            most = max(most, sum(image() is not None for image in read))
            started.append(options.get("before"))
            return function(*args, **options)

        return call

    class Counted(np.ndarray):
        """Plain arrays cannot be referred to weakly."""

    def counted(framed):
        for picture in framed.shown(framed.size):
            image = media.from_uint8(picture).view(Counted)
            read.append(weakref.ref(image))
            yield image

    monkeypatch.setattr(portraits.Framed, "__iter__", counted)
    monkeypatch.setattr(invert, "invert", watched(invert.invert))
    monkeypatch.setattr(invert, "redraw", watched(invert.redraw))
    monkeypatch.setattr(invert, "_DRAWN", 2)
    media.save_video(images, tmp_path / "clip.gif", fps=10)
    out = tmp_path / "latents.safetensors"
    call(network, tmp_path / "clip.gif", out, *SHORT, "--config.images_per_piece=2", "--tune_steps=2")
    assert 2 <= most <= 3  # a piece, and perhaps the last image of the one before
    assert [before is None for before in started[:3]] == [True, False, False]
    found = read_latents(out, load_generator(network))
    assert found.ws.shape == (5, 4, 8)
    tuned = found.load_tuned(out)
    assert tuned is not None
    wanted = np.stack([media.from_uint8(frame) for frame in media.read_frames(tmp_path / "clip.gif")])
    drawn, psnr = redraw(found.ws, wanted, tuned)
    assert f"tuned: PSNR {psnr.mean():.1f} dB" in capsys.readouterr().out
    frames = list(media.read_frames(tmp_path / "latents.gif"))
    assert len(frames) == 5
    for number, frame in enumerate(frames):  # to the right, below the titles
        shown = media.resize(media.from_uint8(frame[-256:, -256:])[None], 8)
        assert np.abs(drawn.clip(-1, 1) - shown).mean(axis=(1, 2, 3)).argmin() == number


@pytest.mark.filterwarnings("ignore:.* not inverted well")
def test_the_frames_of_a_folder_are_a_clip_without_a_rate(network, photos, tmp_path, capsys):
    out = tmp_path / "latents.safetensors"
    call(network, f"frames:{photos}", out, *SHORT)
    assert "frame 2: PSNR" in capsys.readouterr().out
    found = read_latents(out, load_generator(network))
    assert (found.ws.shape, found.fps, found.are_photos) == ((3, 4, 8), None, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latents.mp4", "latents.safetensors", "photos"]


@pytest.mark.filterwarnings("ignore:.* not inverted well")
def test_photos_of_a_folder_are_inverted_in_pieces_each_for_itself(network, photos, images, tmp_path, capsys):
    media.save_video(images[:2], photos / "2.gif", fps=10)
    (photos / "2.png").rename(photos / "notes.txt")
    whole, pieces = tmp_path / "whole.safetensors", tmp_path / "pieces.safetensors"
    for out, options in ((whole, ()), (pieces, ("--config.images_per_piece=2",))):
        with pytest.warns(UserWarning, match=r"2\.gif moves: its first picture is taken, as of a photo"):
            call(network, photos, out, *SHORT, *options)
    said = capsys.readouterr().out
    assert said.count("2.gif: PSNR") == said.count("photos: 3 pictures; left out, as no photos: notes.txt") == 2
    read = [read_latents(path, load_generator(network)) for path in (whole, pieces)]
    assert [(found.ws.shape, found.are_photos) for found in read] == [((3, 4, 8), True)] * 2
    np.testing.assert_allclose(read[0].ws, read[1].ws, atol=1e-5)


def test_a_generator_is_tuned_to_each_image_with_its_own_latent(images, ws, generator, monkeypatch):
    seen, settings = [], inversion.get_config()

    def step(state, task, images, ws, *others):
        seen.append((np.asarray(images), np.asarray(ws)))
        return state, jnp.zeros(())

    monkeypatch.setattr(tuning, "_step", step)
    settings.tune.steps, settings.batch_size = 4, 2
    tuning.tune(iter_again(images), ws, generator, settings)
    for number, (shown, latents) in enumerate(seen):
        rows = np.arange(2 * number, 2 * number + 2) % 5
        np.testing.assert_array_equal(shown, images[rows])
        np.testing.assert_array_equal(latents, ws[rows])
    with pytest.raises(ValueError, match="there are 5 latents and 4 images"):
        tuning.tune(iter_again(images[:4]), ws, generator, settings)


def iter_again(images):
    class Again:
        def __iter__(self):
            return iter(images)

    return Again()


def test_a_file_that_changes_while_it_is_read_is_told(images, tmp_path):
    media.save_video(images, tmp_path / "clip.gif", fps=10)
    framed = portraits.Framed("clip.gif", media.read_frames(tmp_path / "clip.gif"), "none", None, 10.0, 8, 3)
    assert len(list(framed)) == 5
    pictures = [*framed.frames, *framed.frames]
    for count in (4, 6):
        changed = replace(framed, frames=replace(framed.frames, read=lambda count=count: iter(pictures[:count])))
        object.__setattr__(changed, "placement", framed.placement)
        with pytest.raises(ValueError, match=r"clip\.gif has changed while it was read"):
            list(changed)


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
        ("dot.png", (), "dot.png: a picture of 1 x 1 pixels shows nothing: give one of 2 x 2 at least"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(network, photos, tmp_path, source, options, message):
    (tmp_path / "broken.png").write_bytes((photos / "0.png").read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
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
    opened = [media.read_frames(tmp_path / "red.png")]
    [image] = read_images(opened, grey, "a user's own", "none", is_clip=False)
    assert image.shape == (8, 8, 1)
    np.testing.assert_allclose(image, 2 * 76 / 255 - 1, atol=1e-6)  # the luma of red


@pytest.mark.filterwarnings("ignore:.* not inverted well")
@pytest.mark.filterwarnings("ignore:Error writing persistent compilation cache")
@pytest.mark.parametrize(("tuned", "left"), [((), ["latents.safetensors"]), (("--tune_steps=1",), [])])
def test_a_full_disk_is_one_line_and_loses_no_latents(network, photos, tmp_path, full_disk, tuned, left):
    full_disk(2_000)  # the latents fit, the picture and a generator do not
    with pytest.raises(SystemExit, match=r"^error: .*latents\S* could not be written, for the disk is full"):
        call(network, photos, tmp_path / "latents.safetensors", *SHORT, *tuned)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*left, "photos"]


def test_poor_inversions_are_warned_about_and_many_are_summed_up(ws, capsys):
    found = Piece(np.tile(ws, (2, 1, 1)), np.r_[np.full(8, 30.0), 12.0, 14.0], np.full(10, 4.5))
    with pytest.warns(UserWarning, match="not inverted well|up to 4.5") as told:
        invert.report(found, [f"frame {number}" for number in range(10)], 20.0, tunes=False)
    assert "10 images: PSNR 26.6 dB on average, least 12.0 dB (frame 8); 4.50 standard" in capsys.readouterr().out
    first, second = (str(warning.message) for warning in told)
    assert first.startswith("2 images, the first of them frame 8, were not inverted well (below 20 dB)")
    assert second.startswith("latents are up to 4.5 standard deviations from the mean")
