import jax
import jax.numpy as jnp
import numpy as np

from disentangle_jax.directions import Directions
from disentangle_jax.evaluation.held_out import held_out
from disentangle_jax.evaluation.motion import direction_animator, sample_loop, truth_animator


def test_a_pose_by_the_truth_changes_structure_as_asked_and_nothing_else(truth, perfect):
    data = held_out(perfect, truth_animator(perfect.domain.domain, 0.8), perfect.domain.domain)
    factors = truth(data.probe_clips.ws)
    assert np.abs(factors.structure - 0.8 * data.probe_clips.motion).mean() < 0.03
    assert np.abs(factors.appearance - factors.appearance[:, :1]).mean() < 0.01


def test_layers_moved_each_by_the_least_leave_those_behind_that_show_nothing(truth, perfect):
    """The last layers own no structure; those that own a factor take all of its motion."""
    clips = held_out(perfect, truth_animator(perfect.domain.domain, 0.8), perfect.domain.domain).mixed_probe_clips
    assert clips is not None
    factors = truth(clips.ws)
    assert np.abs(factors.structure - 0.8 * clips.motion).mean() < 0.05
    assert np.abs(factors.appearance - factors.appearance[:, :1]).mean() < 0.02
    moved = np.asarray(clips.ws.std(axis=1).mean(axis=(0, 2)))
    assert moved[6:].max() < 1e-3 < 0.05 < moved[:6].min()
    assert float(jnp.abs(clips.ws[:, :, 0] - clips.ws[:, :, -1]).min(axis=2).mean()) > 1e-4  # the faces are mixed


def test_a_loop_ends_where_it_began_and_stays_in_bounds():
    motion = sample_loop(jax.random.key(0), 240, 5)
    steps = jnp.abs(jnp.diff(motion, axis=0))
    assert motion.shape == (240, 5)
    assert jnp.all(jnp.abs(motion) <= 1)
    assert jnp.all(jnp.abs(motion[0] - motion[-1]) <= 1.01 * steps.max(axis=0))


def test_without_a_truth_faces_move_along_the_directions():
    vectors = jnp.eye(2 * 3).reshape(6, 2, 3)[:2]
    animator = direction_animator(Directions(vectors, vectors, jnp.zeros((2, 3)), ("x", "y")), 1.7)
    ws = jax.random.normal(jax.random.key(0), (4, 2, 3))
    motion = jax.random.uniform(jax.random.key(1), (4, 5, 2))
    moved = animator.animate(ws, motion)
    assert np.allclose(moved[:, :, 0, :2], 1.7 * motion, atol=1e-6)
    assert np.allclose(moved[:, :, 1], ws[:, None, 1])


def test_held_out_faces_are_new_to_every_use_and_the_same_in_every_run(perfect):
    animator = truth_animator(perfect.domain.domain, 0.8)
    data, again = (held_out(perfect, animator, perfect.domain.domain) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(data), jax.tree.leaves(again), strict=True))
    faces = [*data.pairs, *data.selection_pairs, data.motion_sources, data.readout_ws]
    first = {tuple(np.asarray(ws[0, 0]).tolist()) for ws in faces}
    assert len(first) == len(faces)
    assert np.array_equal(data.retrieval_clips.motion[0], data.retrieval_clips.motion[-1])
