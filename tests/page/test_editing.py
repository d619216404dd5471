"""What the page computes, in a world where everything is known: codes are numbers, latents hold them, pictures too."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from disentangle_jax import app
from disentangle_jax.configs import faces64, transfer
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion import Inversion
from disentangle_jax.model import Codes
from disentangle_jax.page import editing
from disentangle_jax.page.axes import Axes, along, components
from disentangle_jax.page.editing import Controls, Editor, Face
from disentangle_jax.reenactment.encoding import Encoded
from disentangle_jax.reenactment.inputs import Reading
from stylegan2_flax import command

SIDE = 4
PICTURE = np.zeros((SIDE, SIDE, 3), np.uint8)
REST = Controls((0.0,), (0.0, 0.0))


class Toy(Disentangler):
    """Latents are [1, 3]: a number of appearance, and two of structure. A picture is grey, as bright as their sum."""

    def __init__(self):
        self.config = faces64.get_config()
        self.config.generator = "a user's own"
        self.generator = SimpleNamespace(img_resolution=SIDE, img_channels=3, num_ws=1, w_dim=3)

    def encode(self, ws):
        ws = jnp.asarray(ws)
        return Codes(ws[..., 0, :1], ws[..., 0, 1:])

    def decode(self, appearance, structure):
        return jnp.concatenate([jnp.asarray(appearance), jnp.asarray(structure)], axis=-1)[..., None, :]

    def render(self, ws):
        return jnp.broadcast_to(jnp.sum(ws, axis=-1, keepdims=True)[..., None], (len(ws), SIDE, SIDE, 3))

    def invert(self, images, method="auto", **options):
        one = np.ones(len(images), np.float32)
        return Inversion(np.broadcast_to(one[:, None, None], (len(images), 1, 3)), images, 25 * one, one, {})


@pytest.fixture(scope="module")
def editor():
    made = Editor.__new__(Editor)
    made.model, made.max_frames = Toy(), 3
    made.reading = Reading(transfer.get_config(), align="none")
    made.appearance = Axes(("tone",), np.array([[0.5]], np.float32))
    made.structure = Axes(("yaw", "smile"), np.array([[0.1, 0.0], [0.0, 0.2]], np.float32))
    return made


def face(editor, appearance, structure, *, clip=False):
    appearance, structure = (np.asarray(code, np.float32) for code in (appearance, structure))
    codes = np.repeat(appearance[None], len(structure), axis=0)
    return Face("face", Encoded(editor.model, codes, structure, clip, None, None), PICTURE, None, None, ())


@pytest.fixture(scope="module")
def source(editor):
    return face(editor, [0.1], [[0.2, 0.3]])


@pytest.fixture(scope="module")
def clip(editor):
    return face(editor, [0.9], [[0.0, 0.0], [0.1, 0.0], [0.0, 0.4]], clip=True)


def test_a_slider_moves_its_code_along_its_axis_and_nothing_else(editor, source):
    ws = editor.latents(source, None, Controls((2.0,), (0.0, -1.0)))
    np.testing.assert_allclose(ws, [[[1.1, 0.2, 0.1]]], atol=1e-6)


def test_the_driving_gives_structure_and_sliders_are_added_to_it(editor, source, clip):
    ws = editor.latents(source, clip, Controls((0.0,), (1.0, 0.0), strength=0.5))
    np.testing.assert_allclose(ws[:, 0, 0], 0.1)
    np.testing.assert_allclose(ws[:, 0, 1:], [[0.2, 0.15], [0.25, 0.15], [0.2, 0.35]], atol=1e-6)


def test_relative_motion_starts_at_the_source_and_is_of_clips_alone(editor, source, clip):
    relative = REST._replace(relative=True)
    np.testing.assert_allclose(editor.latents(source, clip, relative)[0, 0], [0.1, 0.2, 0.3], atol=1e-6)
    still = face(editor, [0.9], [[0.7, 0.7]])
    np.testing.assert_allclose(editor.latents(source, still, relative)[0, 0], [0.1, 0.7, 0.7], atol=1e-6)


def test_the_preview_is_the_frame_of_that_moment(editor, source, clip):
    brightness = [int(editor.preview(source, clip, REST, moment)[0, 0, 0]) for moment in (0.0, 0.5, 1.0)]
    assert brightness == [round((1 + total) * 127.5) for total in (0.1, 0.2, 0.5)]


def test_a_single_face_makes_no_clip(editor, source, tmp_path):
    with pytest.raises(ValueError, match="choose a clip"):
        editor.write_clip(tmp_path / "clip.mp4", source, None, REST)
    assert not list(tmp_path.iterdir())


def test_a_clip_that_is_too_long_is_refused_whatever_its_file_says(editor, tmp_path):
    frames = [Image.new("RGB", (SIDE, SIDE), (40 * number, 0, 0)) for number in range(5)]
    for length, name in ((3, "short.gif"), (5, "long.gif")):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:length], duration=100)
    opened = editor.open(str(tmp_path / "short.gif"))
    assert (len(opened.encoded.structure), opened.fps, opened.picture.shape) == (3, 10.0, (editing.SIZE,) * 2 + (3,))
    with pytest.raises(ValueError, match=r"long\.gif has more than 3 frames"):
        editor.open(str(tmp_path / "long.gif"))


def test_named_axes_hold_each_other_and_components_lead():
    values = np.asarray(jax.random.normal(jax.random.key(0), (200, 2))) @ np.array([[1.0, 0.8], [0.0, 1.0]], np.float32)
    mixed = np.array([[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]], np.float32)
    axes = along(("yaw", "smile"), values, values @ mixed + np.float32(5.0))
    assert axes.names == ("yaw", "smile")
    np.testing.assert_allclose(axes.steps, values.std(axis=0)[:, None] * mixed, atol=1e-4)
    leading = components(np.diag([3.0, 1.0, 2.0]).astype(np.float32)[[0, 0, 1, 2, 2]])
    lengths = np.linalg.norm(leading.steps, axis=1)
    assert (np.diff(lengths) <= 0).all()
    assert lengths[0] > 1.0


def test_the_command_says_what_of_an_upload_is_inverted_and_loads_its_encoder_first(monkeypatch):
    served = []
    monkeypatch.setattr(app, "Editor", lambda model, reading, max_frames: SimpleNamespace(reading=reading))
    monkeypatch.setattr(app, "_compile", lambda editor: None)
    monkeypatch.setattr(app, "serve", lambda editor, *rest: served.append(editor.reading.align))
    monkeypatch.setattr(app, "load_encoder", lambda model, reading: served.append(reading.encoder))
    monkeypatch.setattr(Disentangler, "load", lambda name: None)
    monkeypatch.setattr(app.signal, "signal", lambda *given: None)
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: True)
    for given in ([], ["--align=ffhq", "--encoder=e4e.pt"]):
        command.run(app.main, app.FLAGS, ["app", "--model=any", *given])
    assert served == [None, "auto", "e4e.pt", "ffhq"]
