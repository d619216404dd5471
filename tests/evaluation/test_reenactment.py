"""Proxies of driven clips, in a world so small that every number is known."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.domains import JudgedDomain, load_judged_domain
from disentangle_jax.evaluation.proxies import APPEARANCE, STRUCTURE, Proxy, ScorerReader, mean_difference
from disentangle_jax.evaluation.reenactment import CROSS, SELF, Seen, Stage, summarise, validity

SIDE = 12


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shades:
    """A latent [1, 3] is a picture's three colours: the first two are its appearance, the third its structure."""

    names = ("red", "green", "blue")
    structure = ("blue",)

    def __call__(self, images):
        return images.mean((1, 2))

    def truth(self, ws):
        return ws[..., 0, :]

    def render(self, factors, resolution):
        return jnp.broadcast_to(factors[:, None, None], (len(factors), resolution, resolution, 3))

    def pose(self, ws, structure):
        return ws.at[0, 2].set(structure[0])


@pytest.fixture(scope="module")
def domain():
    return JudgedDomain(Shades(), Shades(), SIDE)


def render(ws):
    return Shades().render(ws[:, 0], SIDE)


def farthest(images, targets):
    """A perceptual distance."""
    return jnp.abs(images - targets).max((1, 2, 3))


def swapped(noise):
    """The right answer, with errors of this size that differ from frame to frame."""

    def method(source_ws, driving_ws):
        answer = jnp.concatenate([source_ws[..., :2], driving_ws[..., 2:]], axis=-1)
        return answer + noise * jnp.sin(100.0 * (source_ws + driving_ws))

    return method


@pytest.fixture(scope="module")
def clips():
    """Four sources, and four clips of five frames whose blue alone moves."""
    source_ws, driving_ws = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4, 1, 3)).astype(np.float32)
    driving_ws = driving_ws[:, None].repeat(5, axis=1)
    driving_ws[..., 0, 2] = 0.4 * np.sin(np.arange(20.0)).reshape(4, 5)
    return jnp.asarray(source_ws), jnp.asarray(driving_ws)


def test_measures_are_those_of_what_was_done(domain, clips):
    reader = ScorerReader(domain, 8)
    methods = {"source": lambda source, _: source, "swap": swapped(0.0), "noisy": swapped(0.1)}
    found = Stage(render, reader, farthest, domain, 8).measure(clips[0], clips[1], methods)
    source = summarise(found[CROSS]["source"], reader.proxies, CROSS)
    moved = np.abs(clips[0][:, None, 0, 2] - clips[1][:, 1:, 0, 2]).mean()
    assert source == pytest.approx({"appearance": 0, "structure": moved, "jitter_ratio": 0, "read": 1}, abs=1e-5)
    swap = summarise(found[CROSS]["swap"], reader.proxies, CROSS)
    assert swap == pytest.approx({"appearance": 0, "structure": 0, "jitter_ratio": 1, "read": 1}, abs=1e-5)
    standing = summarise(found[SELF]["source"], reader.proxies, SELF)
    change = np.abs(clips[1][:, :1, 0, 2] - clips[1][:, 1:, 0, 2]).mean()
    assert standing["l1"] == pytest.approx(change / 6)  # one of three channels, in [0, 1]
    assert standing["perceptual"] == pytest.approx(change)
    perfect = summarise(found[SELF]["swap"], reader.proxies, SELF)
    assert perfect["ssim"] == pytest.approx(1)
    assert perfect["psnr"] == pytest.approx(126, abs=1)  # where PSNR is cut off
    worth = validity(found, reader.proxies, ["source", "swap", "noisy"], "noisy")
    assert {name: of["of"] for name, of in worth.items()} == {
        "appearance": APPEARANCE,
        "structure": STRUCTURE,
        **dict.fromkeys(("l1", "psnr", "ssim", "perceptual"), "both"),
    }
    assert worth["appearance"]["ours"] == pytest.approx(1)
    assert worth["structure"]["ours"] == pytest.approx(1)
    assert worth["psnr"]["pooled"] > 0.8
    still = validity(found, reader.proxies, ["source"], "source")
    assert still["appearance"]["ours"] is None


class Sleepy:
    """Reads nothing in dark pictures."""

    def __init__(self):
        self.proxies = {"blue": Proxy("distance of blue", STRUCTURE, mean_difference)}

    def read(self, images):
        blue = images[:, 0, 0, 2:].astype(np.float64)
        return {"blue": np.where(blue < 0, np.nan, blue)}


def test_frames_in_which_nothing_is_read_are_left_out_and_counted(clips):
    sleepy = Sleepy()
    found = Stage(render, sleepy, None, None, 8).measure(
        clips[0], clips[1], {"swap": swapped(0.0), "dark": lambda s, d: -1 + 0 * d}
    )
    seen = np.asarray(clips[1][:, 1:, 0, 2]) >= 0
    swap = summarise(found[CROSS]["swap"], sleepy.proxies, CROSS)
    assert swap == pytest.approx({"blue": 0, "jitter_ratio": 1, "read": seen.mean()}, abs=1e-6)
    dark = summarise(found[CROSS]["dark"], sleepy.proxies, CROSS)
    assert dark == {"blue": None, "jitter_ratio": None, "read": 0}


def test_who_loses_the_face_where_it_moves_fast_is_not_smooth_for_that(clips):
    """The driving is calm at first and lively then; of a result like it the lively half cannot be read."""
    ws, driving = np.asarray(clips[1][:1, [0] * 8]), np.array([0.0, 0.1, 0.1, 0.0, 1.0, -1.0, 1.0, -1.0])
    read = np.where(abs(driving) > 0.5, np.nan, driving)
    seen, lost = (Seen(ws, {"blue": blue.reshape(1, 8, 1)}) for blue in (driving, read))
    sleepy = Sleepy()
    measures = Stage(render, sleepy, None, None, 8).distances(lost, seen, seen)
    assert summarise(measures, sleepy.proxies, CROSS)["jitter_ratio"] == pytest.approx(1)


def test_without_a_reader_pixels_of_self_driven_clips_are_left(clips):
    found = Stage(render, None, None, None, 8).measure(clips[0], clips[1], {"swap": swapped(0.0)})
    assert list(found) == [SELF]
    assert set(summarise(found[SELF]["swap"], {}, SELF)) == {"l1", "psnr", "ssim"}


def test_a_scorer_with_features_gives_an_embedding_too():
    judged = load_judged_domain("faces64", "judge_a", 64)
    assert judged is not None
    reader = ScorerReader(judged, 2)
    assert list(reader.proxies) == ["appearance", "structure", "embedding"]
    readings = reader.read(np.linspace(-1, 1, 2 * 64 * 64 * 3, dtype=np.float32).reshape(2, 64, 64, 3))
    similar = reader.proxies["embedding"].compare(readings["embedding"], readings["embedding"][:1])
    assert similar[0] == pytest.approx(1)
    assert similar[1] < 0.999
