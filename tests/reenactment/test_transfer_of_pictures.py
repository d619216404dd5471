"""python -m disentangle_jax.transfer on photos and videos, in a world where everything is known.

A latent is a colour and a number; it is drawn as that colour with a white square, shifted right by the number.
"""

import sys
import types
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from disentangle_jax import media, transfer
from disentangle_jax.configs import faces64
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion import Inversion, encoders
from disentangle_jax.inversion.latent_files import LatentClip
from disentangle_jax.model import Codes
from disentangle_jax.reenactment import inputs
from stylegan2_flax import command

av = pytest.importorskip("av")
SIDE, FRAMES = 16, 6
WIDTH, HEIGHT = 24, 16  # of the pictures, whose middle is inverted
RED, GREEN, BLUE = (200, 40, 40), (40, 180, 60), (30, 60, 220)


class Toy(Disentangler):
    def __init__(self):
        self.config = faces64.get_config("linear")
        self.config.generator = "a user's own"
        self.generator = SimpleNamespace(img_resolution=SIDE, img_channels=3, num_ws=2, w_dim=3)
        self.shapes, self.starts, self.before, self.psnr = [], [], [], 25.0

    def encode(self, ws):
        ws = jnp.asarray(ws)
        return Codes(ws[..., 0, :], ws[..., 1, :1])

    def decode(self, appearance, structure):
        return jnp.asarray(np.stack([appearance, np.broadcast_to(structure, appearance.shape)], axis=-2))

    def render(self, ws):
        ws = np.asarray(ws)
        images = np.repeat(np.repeat(ws[:, None, None, 0], SIDE, axis=1), SIDE, axis=2)
        for image, place in zip(images, ws[:, 1, 0], strict=True):
            left = int(np.clip(round(place), 0, SIDE - 4))
            image[6:10, left : left + 4] = 1
        return jnp.asarray(images)

    def invert(self, images, method="auto", *, encoder=None, **options):
        self.shapes.append(images.shape)
        self.before.append(None if options.get("before") is None else round(float(options["before"].ws[-1, 1, 0])))
        self.starts.append(None if encoder is None else round(float(encoder(jnp.asarray(images))[0, 1, 0])))
        numbers = np.repeat(find(images).astype(np.float32)[:, None], 3, axis=1)
        psnr = np.full(len(images), self.psnr, np.float32)
        ws = np.stack([images[:, 0, SIDE // 2], numbers], axis=1)
        return Inversion(ws, images, psnr, psnr / 10, {})


def find(images):
    """Where the square is: the brightest four columns, since a video's colours are coarser than its brightness."""
    brightness = (images[:, 6:10] @ np.array([0.299, 0.587, 0.114], np.float32)).mean(axis=1)
    return np.lib.stride_tricks.sliding_window_view(brightness, 4, axis=-1).sum(axis=-1).argmax(axis=-1)


@pytest.fixture
def toy(monkeypatch):
    model = Toy()
    monkeypatch.setattr(Disentangler, "load", lambda name: model)
    return model


def picture(colour, place):
    whole = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    left = (WIDTH - SIDE) // 2 + place
    whole[6:10, left : left + 4] = 255
    return whole


def places(frames):
    """Where the square is in each frame of a result."""
    return find(np.stack(list(frames)).astype(np.float32)).tolist()


def load(path):
    with Image.open(path) as image:
        return np.asarray(image)


def call(folder, source, driving, out, **options):
    path = folder / out
    sides = [("source", source), ("driving", driving)]
    named = [(flag, name) for flag, names in sides for name in (names if isinstance(names, list) else [names])]
    given = [f"--{name}={value}" for name, value in [("model", "any"), ("out", path), *options.items(), *named]]
    command.run(transfer.main, transfer.FLAGS, ["transfer", *given])
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A photo, a folder of two, a video with sound, and one that is damaged half-way."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "photos").mkdir()
    for path, colour, place in (("photo.png", RED, 2), ("photos/1.png", GREEN, 4), ("photos/2.png", BLUE, 8)):
        Image.fromarray(picture(colour, place)).save(folder / path)
    with av.open(str(folder / "sound.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", 16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, 16000), 2000, np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with media.open_video(folder / "video.mp4", 25, folder / "sound.wav") as video:
        for place in range(FRAMES):
            video.write(picture(BLUE, place + 3))
    rng = np.random.default_rng(0)
    media.save_video(rng.integers(0, 255, (30, HEIGHT, WIDTH, 3)).astype(np.uint8), folder / "long.mp4", fps=25)
    data = bytearray((folder / "long.mp4").read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 1000] = bytes(1000)
    (folder / "damaged.mp4").write_bytes(data)
    return folder


def test_a_photo_is_driven_by_a_video_with_its_rate_and_its_sound(files, tmp_path, toy, capsys):
    out = call(
        tmp_path,
        files / "photo.png",
        files / "video.mp4",
        "out.mp4",
        show="result",
        **{"config.inversion.images_per_piece": 4},
    )
    frames = media.read_frames(out)
    assert (frames.fps, frames.has_audio) == (25, True)
    assert places(frames) == [3, 4, 5, 6, 7, 8]
    assert np.abs(next(iter(frames))[0, 0].astype(int) - RED).max() < 12
    assert [shape[0] for shape in toy.shapes] == [1, 4, 2]
    assert toy.before == [None, None, 6], "a piece goes on where the one before it ended"
    told = capsys.readouterr().out
    assert "photo.png: inverted at 25.0 dB, 2.5 standard deviations from the mean face" in told
    assert f"video.mp4: inverted at 25.0 dB (worst of {FRAMES} frames 25.0 dB)" in told


def test_pictures_are_read_by_the_encoder_that_is_given_which_is_loaded_once(files, tmp_path, toy, monkeypatch):
    loaded = []

    def load(source, generator):
        loaded.append((source, generator))
        return lambda images: np.full((len(images), 2, 3), 7.0, np.float32)

    monkeypatch.setattr(encoders, "load", load)
    call(tmp_path, files / "photos", files / "photo.png", "out.png", encoder="e4e.pt", method="encoder")
    assert (loaded, toy.starts) == ([("e4e.pt", toy.generator)], [7, 7, 7])
    video = {"show": "result", "config.inversion.images_per_piece": 4}
    call(tmp_path, files / "photo.png", files / "video.mp4", "out.mp4", encoder="e4e.pt", **video)
    assert toy.before[-2:] == [None, 6], "nor does a clip jump that an encoder reads"


def test_an_encoder_is_asked_for_where_none_is_registered(files, tmp_path, toy):
    with pytest.raises(SystemExit, match="none is registered for this generator: give one with --encoder, or leave it"):
        call(tmp_path, files / "photo.png", files / "photo.png", "out.png", method="encoder")


def test_an_encoder_that_nothing_is_read_by_is_refused(files, tmp_path, toy, monkeypatch):
    monkeypatch.setattr(encoders, "load", lambda source, generator: None)
    np.save(tmp_path / "face.npy", np.zeros((2, 3), np.float32))
    monkeypatch.setattr(inputs, "read_latents", lambda path, generator: LatentClip(np.load(path), None))
    with pytest.raises(SystemExit, match="--method=optimise searches from samples, without an encoder: leave out one"):
        call(tmp_path, files / "photo.png", files / "photo.png", "out.png", encoder="e4e.pt", method="optimise")
    with pytest.raises(SystemExit, match="--encoder says how pictures are inverted, and there are none: leave it out"):
        call(tmp_path, tmp_path / "face.npy", tmp_path / "face.npy", "out.png", encoder="e4e.pt")


def test_a_face_finder_of_the_user_says_what_of_a_picture_is_inverted(files, tmp_path, toy, monkeypatch, capsys):
    """Eyes and mouth such that FFHQ's square is the whole height of the picture, at its left end."""
    finders, seen = types.ModuleType("finders_of_a_user"), []

    def find(image):
        seen.append(image.shape)
        return (np.array([[-20, 0], [20, 0], [0, 15], [-14, 36], [14, 36]]) * HEIGHT / 160 + [HEIGHT / 2, 7])[None]

    vars(finders)["left"] = lambda: find
    monkeypatch.setitem(sys.modules, finders.__name__, finders)
    options = {"align": "ffhq", "face_finder": "finders_of_a_user:left", "show": "result"}
    call(tmp_path, files / "photo.png", files / "video.mp4", "out.mp4", **options)
    assert set(seen) == {(HEIGHT, WIDTH, 3)}
    assert len(seen) == 1 + FRAMES
    assert "Note: " not in capsys.readouterr().out, "the licence of dlib's landmarks"
    with pytest.raises(SystemExit, match="unknown face finder 'nobody': say dlib, or a factory"):
        call(tmp_path, files / "photo.png", files / "video.mp4", "out2.mp4", align="ffhq", face_finder="nobody")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"reference": "first"}, [2, 3, 4, 5, 6, 7]),
        ({"reference": "best"}, [2, 3, 4, 5, 6, 7]),  # frame 0 is nearest to the source
        ({"reference": "2"}, [0, 1, 2, 3, 4, 5]),
        ({"reference": "2", "strength": 2}, [0, 0, 2, 4, 6, 8]),
        ({"reference": "mean", "strength": 0}, [2] * 6),
    ],
)
def test_relative_motion_is_added_to_the_structure_of_the_source(files, tmp_path, toy, options, expected):
    out = call(tmp_path, files / "photo.png", files / "video.mp4", "out", show="result", relative=True, **options)
    assert places(media.read_frames(out)) == expected


def test_smoothing_lags_a_little_behind(files, tmp_path, toy, monkeypatch):
    monkeypatch.setattr("disentangle_jax.reenactment.motion.structure_scale", lambda model: np.ones(1, np.float32))
    options = {"config.smooth.min_cutoff": 2.0, "config.smooth.beta": 0.0}
    out = call(tmp_path, files / "photo.png", files / "video.mp4", "out", show="result", smooth=True, **options)
    smoothed = places(media.read_frames(out))
    assert smoothed[0] == 3
    assert 4 < smoothed[-1] < 8


def test_the_result_is_pasted_into_the_photo_or_into_every_frame(files, tmp_path, toy):
    edges = np.r_[0:4, WIDTH - 4 : WIDTH]
    for source, driving in (("photo.png", "video.mp4"), ("video.mp4", "photo.png")):
        out = call(tmp_path, files / source, files / driving, f"from_{source}.d".replace(".", "_"), show="pasted")
        frames = np.stack(list(media.read_frames(out)))
        originals = np.stack(list(media.read_frames(files / source)))
        assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
        assert np.array_equal(frames[:, :, edges], np.broadcast_to(originals, frames.shape)[:, :, edges])
        moved = [place - 4 for place in places(frames)]
        assert moved == ([3, 4, 5, 6, 7, 8] if source == "photo.png" else [2] * FRAMES)


def test_several_faces_give_a_grid(files, tmp_path, toy):
    sources, gap = [files / "photo.png", files / "photos"], 2
    grid = load(call(tmp_path, sources, [files / "photos"], "grid.png"))
    assert grid.shape == (4 * 256 + 2 * gap + 4 * gap, 3 * 256 + gap + 4 * gap, 3)
    alone = load(call(tmp_path, sources, files / "photos", "alone.png", show="result"))
    assert alone.shape == (3 * SIDE + 2 * gap, 2 * SIDE + gap, 3)
    assert [tuple(alone[row, 0]) for row in (0, SIDE + gap, 2 * (SIDE + gap))] == [RED, GREEN, BLUE]
    assert places([alone[:SIDE, :SIDE], alone[:SIDE, -SIDE:]]) == [4, 8]


def test_pictures_of_a_folder_are_faces_and_those_of_frames_are_a_clip(files, tmp_path, toy):
    options = {"show": "result", "fps": 10}
    frames = call(tmp_path, files / "photo.png", files / "video.mp4", "frames", **options)
    out = call(tmp_path, files / "photo.png", f"frames:{frames}", "out.gif", show="result")
    assert (media.read_frames(out).fps, places(media.read_frames(out))) == (12, [3, 4, 5, 6, 7, 8])
    assert toy.shapes[-1] == (FRAMES, SIDE, SIDE, 3), "inverted as one clip"
    moved = call(tmp_path, files / "photo.png", f"frames:{frames}", "moved", relative=True, **options)
    assert places(media.read_frames(moved)) == [2, 3, 4, 5, 6, 7]
    many = r"6 results, and a grid has at most 5 .*; if the pictures .* are the frames of a clip, say frames:FOLDER"
    with pytest.raises(SystemExit, match=many):
        call(tmp_path, files / "photo.png", frames, "out.png", **{"config.max_cells": 5})
    with pytest.raises(SystemExit, match=r"not in 'no\.gif' \(a folder of frames is a clip as frames:FOLDER\)"):
        call(tmp_path, files / "photo.png", frames, "no.gif")
    Image.fromarray(picture(RED, 0)[:-1, :SIDE]).save(frames / "000009.png")
    with pytest.raises(SystemExit, match="frame 6 has 16 x 15 pixels, those before it 16 x 16"):
        call(tmp_path, files / "photo.png", f"frames:{frames}", "no.gif")
    with pytest.raises(SystemExit, match="wants a folder of frames after the colon, and there is none at nowhere"):
        call(tmp_path, files / "photo.png", "frames:nowhere", "no.gif")
    assert not (tmp_path / "no.gif").exists()


def test_source_and_driving_stand_beside_the_result(files, tmp_path, toy):
    shown = load(call(tmp_path, files / "photo.png", files / "photos" / "1.png", "out.png"))
    cells = [shown[-8, column + 8] for column in (0, 259, 518)]
    assert [tuple(cell) for cell in cells] == [RED, GREEN, RED]


def test_a_poor_inversion_is_warned_of_with_the_reason(files, tmp_path, toy):
    toy.psnr = 12.0
    poor = r"photo\.png could not be inverted well \(12\.0 dB, less than 20\): it is not like what this generator draws"
    with pytest.warns(UserWarning, match=poor):
        call(
            tmp_path, files / "photo.png", files / "photo.png", "out.png", **{"config.inversion.warn_below_psnr": 20.0}
        )


def test_what_is_damaged_or_does_not_fit_is_one_line_and_nothing_is_written(files, tmp_path, toy):
    for source, driving, out, options, words in (
        ("photo.png", "damaged.mp4", "out.mp4", {}, r"damaged\.mp4 is damaged after frame"),
        ("photo.png", "video.mp4", "out.png", {}, r"the result is a clip, as video\.mp4 is: end --out in"),
        ("photo.png", "nowhere.mp4", "out.mp4", {}, "there is no picture or video at"),
        ("photos", "photo.png", "out.png", {"show": "pasted"}, "--show=pasted is for one --source"),
        ("photos", "photo.png", "out.png", {"config.max_cells": 1}, "2 results, and a grid has at most 1"),
        ("photo.png", "photo.png", "out.png", {"config.smooth.gamma": 1}, "the config has no field"),
        (
            "photo.png",
            "photo.png",
            "out.png",
            {"config.inversion.images_per_piece": 0},
            "images_per_piece must be a whole number of at least 1",
        ),
        (
            "photo.png",
            "photo.png",
            "out.png",
            {"config.inversion.space": "z"},
            "inversion.space must be one of w, w\\+",
        ),
    ):
        with pytest.raises(SystemExit, match=words) as stop:
            call(tmp_path, files / source, files / driving, out, **options)
        assert "\n" not in str(stop.value.code).split("For example")[0].strip()
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Error writing persistent compilation cache")
def test_a_full_disk_is_one_line_and_leaves_nothing(files, tmp_path, toy, full_disk):
    full_disk(20_000)  # what the test prints needs room
    with pytest.raises(SystemExit, match=r"^error: .*out\.gif could not be written, for the disk is full"):
        call(tmp_path, files / "photo.png", files / "video.mp4", "out.gif")
    assert not list(tmp_path.iterdir())


def test_frames_of_two_rates_are_paired_with_a_warning_and_the_shorter_clip_ends_it(files, tmp_path, toy):
    media.save_video([picture(RED, 1)] * 9, tmp_path / "slow.gif", fps=10)
    with pytest.warns(UserWarning, match=r"rates differ \(slow\.gif 10, video\.mp4 25 frames a second\)"):
        out = call(tmp_path, tmp_path / "slow.gif", files / "video.mp4", "out.gif", show="result")
    frames = media.read_frames(out)
    assert (frames.fps, frames.num_frames) == (25, FRAMES)
