"""python -m disentangle_jax.transfer: what it writes, and what it says to a wrong call."""

import numpy as np
import pytest
from PIL import Image

from disentangle_jax import transfer
from disentangle_jax.disentangler import Disentangler
from stylegan2_flax import command

LAYERS, W_DIM = 4, 8
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch, model, workdir):
    load = Disentangler.load
    monkeypatch.setattr(Disentangler, "load", lambda folder: model if folder == workdir else load(folder))


@pytest.fixture(scope="module")
def model(workdir):
    return Disentangler.load(workdir)


def call(workdir, folder, source, driving, out="out.png", **options):
    """Run with these flags; give the path that was to be written."""
    path = folder / out
    values = {"workdir": workdir, "source": source, "driving": driving, "out": path, **options}
    given = [f"--{name}={value}" for name, value in values.items() if value is not None]
    command.run(transfer.main, transfer.FLAGS, ["transfer", *given])
    return path


def latents(folder, *shape, name="ws.npy", dtype=np.float32):
    np.save(folder / name, RNG.normal(size=shape).astype(dtype))
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


@pytest.mark.parametrize("options", [{}, {"relative": True}, {"relative": True, "reference": "best"}, {"psi": 0.5}])
def test_a_clip_gives_a_video(workdir, tmp_path, options):
    path = call(workdir, tmp_path, "seed:1", "clip:2", "out.gif", **options)
    with Image.open(path) as clip:
        assert getattr(clip, "n_frames", 1) == 6


def test_an_mp4_too(workdir, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    assert call(workdir, tmp_path, "seed:1", "clip:2", "out.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("shape", [(W_DIM,), (LAYERS, W_DIM), (5, LAYERS, W_DIM)])
def test_latent_files_of_every_shape_are_read(workdir, tmp_path, shape):
    out = "out.gif" if len(shape) == 3 else "out.png"
    assert call(workdir, tmp_path, "seed:1", latents(tmp_path, *shape), out).exists()


def test_an_npz_is_read_by_its_only_array_or_by_name(workdir, tmp_path):
    np.savez(tmp_path / "one.npz", codes=RNG.normal(size=(LAYERS, W_DIM)))
    np.savez(tmp_path / "two.npz", ws=RNG.normal(size=(LAYERS, W_DIM)), other=np.zeros(3))
    assert call(workdir, tmp_path, str(tmp_path / "one.npz"), str(tmp_path / "two.npz")).exists()


def wrong_calls(folder):
    """Arguments, and what the message must say."""
    (folder / "text.npy").write_text("no array")
    np.savez(folder / "many.npz", a=np.zeros(3), b=np.zeros(3))
    whole = latents(folder, 5, LAYERS, W_DIM, name="whole.npy")
    (folder / "cut.npy").write_bytes((folder / "whole.npy").read_bytes()[:-9])
    np.savez(folder / "whole.npz", ws=RNG.normal(size=(5, LAYERS, W_DIM)))
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
        (("seed:1", str(folder / "face.png")), "inversion"),
        (("seed:1", whole, "out.png"), "clip of 5 frames"),
        (("seed:1", "seed:2", "out.gif"), "single picture"),
        (("seed:1", "seed:2", "out.tiff"), "must be one of"),
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
    [({"reference": "worst"}, "first, best, or the number"), ({"reference": "99"}, "frame 99")],
)
def test_a_wrong_reference_is_told(workdir, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        call(workdir, tmp_path, "seed:1", "clip:2", "out.gif", relative=True, **options)
    assert not (tmp_path / "out.gif").exists()


def test_relative_motion_needs_a_clip(workdir, tmp_path):
    with pytest.raises(SystemExit, match="clip"):
        call(workdir, tmp_path, "seed:1", "seed:2", relative=True)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(SystemExit, match="--source is missing"):
        call(tmp_path, tmp_path, None, "seed:1")
    with pytest.raises(SystemExit, match=r"config\.json"):
        call(tmp_path, tmp_path, "seed:1", "seed:2")
