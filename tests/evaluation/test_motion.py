import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.directions import Directions
from disentangle_jax.evaluation.held_out import held_out
from disentangle_jax.evaluation.motion import direction_animator, sample_loop, sample_moments, truth_animator

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def data(perfect):
    return held_out(perfect, truth_animator(perfect.domain.domain, 0.8), perfect.domain.domain)


def test_a_pose_by_the_truth_changes_structure_as_asked_and_nothing_else(truth, data):
    factors = truth(data.probe_clips.ws)
    assert np.abs(factors.structure - 0.8 * data.probe_clips.motion).mean() < 0.03
    assert np.abs(factors.appearance - factors.appearance[:, :1]).mean() < 0.01


def test_layers_moved_each_by_the_least_leave_those_behind_that_show_nothing(truth, data):
    """The last layers own no structure; those that own a factor take all of its motion."""
    clips = data.mixed_probe_clips
    assert clips is not None
    factors = truth(clips.ws)
    assert np.abs(factors.structure - 0.8 * clips.motion).mean() < 0.05
    assert np.abs(factors.appearance - factors.appearance[:, :1]).mean() < 0.02
    ws = np.asarray(clips.ws)
    moved = ws.std(axis=1).mean(axis=(0, 2))
    assert moved[6:].max() < 1e-3 < 0.05 < moved[:6].min()
    assert np.abs(ws[:, :, 0] - ws[:, :, -1]).min(axis=2).mean() > 1e-4  # the faces are mixed


def test_a_loop_ends_where_it_began_and_stays_in_bounds():
    motion = np.asarray(jax.jit(lambda key: sample_loop(key, 240, 5))(jax.random.key(0)))
    steps = np.abs(np.diff(motion, axis=0))
    assert motion.shape == (240, 5)
    assert np.all(np.abs(motion) <= 1)
    assert np.all(np.abs(motion[0] - motion[-1]) <= 1.01 * steps.max(axis=0))


@pytest.mark.parametrize("k", [1, 2])
def test_a_motion_for_retrieval_does_not_repeat_itself(k):
    """Coordinates of two cycles each would show every moment twice, as they do with some of these keys."""
    keys = jax.random.split(jax.random.key(0), 50)
    motions, loops = (
        np.asarray(jax.jit(jax.vmap(lambda key, sample=sample: sample(key, 32, k)))(keys))
        for sample in (sample_moments, sample_loop)
    )
    assert np.abs(motions).max() <= 1
    halfway, of_loops = (np.linalg.norm(m[:, :16] - m[:, 16:], axis=-1).max(axis=1) for m in (motions, loops))
    assert of_loops.min() < 1e-5 < 0.5 < halfway.min()
    if k > 1:
        np.testing.assert_array_equal(motions[of_loops > 1e-5], loops[of_loops > 1e-5])
    else:
        assert (np.diff(motions, axis=1) > 0).all()


def test_without_a_truth_faces_move_along_the_directions():
    vectors = jnp.asarray(np.eye(2 * 3, dtype=np.float32).reshape(6, 2, 3)[:2])
    animator = direction_animator(Directions(vectors, vectors, jnp.zeros((2, 3)), ("x", "y")), 1.7)
    ws = RNG.normal(size=(4, 2, 3)).astype(np.float32)
    motion = RNG.uniform(size=(4, 5, 2)).astype(np.float32)
    moved = np.asarray(animator.animate(jnp.asarray(ws), jnp.asarray(motion)))
    assert np.allclose(moved[:, :, 0, :2], 1.7 * motion, atol=1e-6)
    assert np.allclose(moved[:, :, 1], ws[:, None, 1])


def test_held_out_faces_are_new_to_every_use_and_the_same_in_every_run(perfect, data):
    again = held_out(perfect, truth_animator(perfect.domain.domain, 0.8), perfect.domain.domain)
    assert all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(data), jax.tree.leaves(again), strict=True))
    faces = [*data.pairs, *data.selection_pairs, data.motion_sources, data.readout_ws]
    first = {tuple(np.asarray(ws[0, 0]).tolist()) for ws in faces}
    assert len(first) == len(faces)
    assert np.array_equal(data.retrieval_clips.motion[0], data.retrieval_clips.motion[-1])
