"""Purifying in a closed form: a reader whose factors are curved functions of a latent, so that linear moves leak."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.clips import Clip
from disentangle_jax.clips.purification import Purifier
from disentangle_jax.directions import Directions
from disentangle_jax.scorers import split

A, S, L, D = 9, 7, 4, 8
K = A + S
NAMES = tuple(f"factor_{i}" for i in range(K))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curved:
    """Each factor is a coordinate, bent by the next: tanh(s_i (1 + c s_j))."""

    names = NAMES
    structure = NAMES[A:]
    normals: jax.Array

    def __call__(self, ws):
        s = jnp.einsum("kld,nld->nk", self.normals, ws)
        return jnp.tanh(0.5 * s * (1.0 + 0.3 * jnp.roll(s, 1, axis=1)))


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def world():
    """Reader, its directions, and latents."""
    basis = jnp.asarray(np.linalg.qr(normal(L * D, K))[0].T.reshape(K, L, D))
    ws = jnp.asarray(normal(512, L, D))
    return Curved(basis), Directions(basis, basis, jnp.zeros((L, D)), NAMES), ws


@pytest.fixture(scope="module")
def clips(world):
    """Clips moved along the directions of structure, each frame also on another face."""
    _, directions, ws = world
    structure = directions.select(range(A, K))
    coefficients, faces = jnp.asarray(normal(8, 4, S)), np.asarray(ws)
    still = np.broadcast_to(faces[:8, None], (8, 4, L, D))
    others = faces[8:40].reshape(8, 4, L, D)
    move = jax.jit(structure.move)
    return Clip(move(still, coefficients), move(others, coefficients), coefficients)


@pytest.fixture(scope="module")
def purify(world):
    """(clips, steps) -> purified clips."""
    call = jax.jit(lambda purifier, clips: purifier(clips))
    return lambda clips, steps=4: call(Purifier.create(*world, steps=steps, damping=0.2), clips)


def factors_of(reader, ws):
    readings = jax.jit(lambda reader, ws: reader(ws))(reader, np.asarray(ws).reshape(-1, L, D))
    return split(np.asarray(readings).reshape(*ws.shape[:2], K), reader)


def drifts(reader, clips):
    """Of appearance within a clip, and of structure between the looks of a frame."""
    frames, augmented = factors_of(reader, clips.ws), factors_of(reader, clips.augmented)
    return frames.appearance.std(1).mean(), np.abs(frames.structure - augmented.structure).mean()


def test_appearance_holds_and_structure_agrees(world, clips, purify):
    before, after = drifts(world[0], clips), drifts(world[0], purify(clips))
    assert after[0] < 0.25 * before[0]
    assert after[1] < 0.25 * before[1]


def test_more_steps_come_nearer(world, clips, purify):
    one, four = (sum(drifts(world[0], purify(clips, steps))) for steps in (1, 4))
    assert four < 0.7 * one


def test_motion_and_looks_survive(world, clips, purify):
    reader, purified = world[0], purify(clips)
    before, after = factors_of(reader, clips.ws), factors_of(reader, purified.ws)
    assert np.corrcoef(np.ravel(before.structure), np.ravel(after.structure))[0, 1] > 0.9
    looks, kept = (factors_of(reader, one.augmented).appearance for one in (clips, purified))
    np.testing.assert_allclose(kept, looks, atol=0.15)
    np.testing.assert_array_equal(purified.coefficients, clips.coefficients)


def test_moves_stay_among_the_directions(world, clips, purify):
    change = (np.asarray(purify(clips).ws) - clips.ws).reshape(-1, L * D)
    basis = np.asarray(world[1].vectors).reshape(K, -1)
    np.testing.assert_allclose(change, change @ basis.T @ basis, atol=1e-4)
    assert np.abs(change).max() > 0.01


def test_what_is_pure_already_stays(world, purify):
    still = jnp.broadcast_to(world[2][:8, None], (8, 4, L, D))
    clips = Clip(still, still, jnp.zeros((8, 4, S)))
    np.testing.assert_allclose(purify(clips).ws, still, atol=1e-5)


def test_clips_do_not_touch_each_other(clips, purify):
    whole, others = np.asarray(purify(clips).ws), [0, 1, 2, *[7] * 5]
    some = jax.tree.map(lambda x: np.asarray(x)[others], clips)
    np.testing.assert_allclose(purify(some).ws, whole[others], atol=1e-5)


def test_impossible_purifiers_are_refused(world):
    reader, directions, ws = world
    with pytest.raises(ValueError, match=r"above 0; got 0 and 0\.2"):
        Purifier.create(reader, directions, ws, 0, 0.2)
    with pytest.raises(ValueError, match=r"above 0; got 2 and 0\.0"):
        Purifier.create(reader, directions, ws, 2, 0.0)
    with pytest.raises(ValueError, match="2 directions for 16 factors"):
        Purifier.create(reader, directions.select((0, 1)), ws, 2, 0.2)
