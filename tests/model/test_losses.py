"""The losses against closed forms, Optax, a plain loop, and themselves on eight devices."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from disentangle_jax.model import losses

B, T, K = 8, 3, 2
appearance_contrast = jax.jit(losses.appearance_contrast)
structure_contrast = jax.jit(losses.structure_contrast, static_argnames="negatives")


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture(scope="module")
def views():
    """Structure codes, those of the augmented frames, coefficients."""
    structure = normal(0, B, T, 5)
    return structure, structure + 0.5 * normal(1, B, T, 5), normal(2, B, T, K)


@pytest.mark.parametrize("function", [losses.reconstruction, losses.info_nce])
def test_examples(function):
    test = doctest.DocTestFinder(recurse=False).find(function, globs=dict(vars(losses)))[0]
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_reconstruction_is_one_for_the_mean_and_zero_for_the_truth():
    ws = 3 + normal(0, 500, 2, 4) * jnp.array([0.1, 1.0, 2.0, 30.0])[None, None]
    mean, std = jnp.broadcast_to(ws.mean(0), ws.shape), ws.std(0)
    np.testing.assert_allclose(losses.reconstruction(mean, ws, std), 1.0, rtol=1e-4)
    assert losses.reconstruction(ws, ws, std) == 0


def test_info_nce_equals_ntxent_with_one_positive_each():
    x, labels = normal(0, 12, 5), jnp.repeat(jnp.arange(6), 2)
    same = labels[:, None] == labels[None, :]
    positives = same & ~jnp.eye(12, dtype=bool)
    ours = jax.jit(jax.value_and_grad(losses.info_nce))(x, positives, ~same, 0.2)
    with jax.numpy_dtype_promotion("standard"):
        theirs = jax.jit(jax.value_and_grad(optax.losses.ntxent))(x, labels, 0.2)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-5)


def test_appearance_contrast_equals_ntxent_for_clips_of_two_frames():
    codes = normal(0, 6, 2, 5)
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(optax.losses.ntxent)(codes.reshape(12, 5), jnp.repeat(jnp.arange(6), 2), 0.1)
    np.testing.assert_allclose(appearance_contrast(codes, 0.1), expected, rtol=1e-5)


def test_structure_contrast_equals_ntxent_when_every_other_frame_is_a_negative(views):
    structure, augmented, coefficients = views
    both = jnp.concatenate([structure.reshape(-1, 5), augmented.reshape(-1, 5)])
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(optax.losses.ntxent)(both, jnp.tile(jnp.arange(B * T), 2), 0.1)
    ours = structure_contrast(structure, augmented, coefficients, 0.1, "both", 0.0)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_appearance_contrast_is_supervised_contrast_with_many_positives():
    codes, temperature = normal(0, 4, 3, 5), 0.3
    x = np.asarray(codes, np.float64).reshape(12, 5)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    clip = np.arange(12) // 3
    terms = []
    for i in range(12):
        others = [j for j in range(12) if j != i]
        log_sum = np.log(sum(np.exp(x[i] @ x[j] / temperature) for j in others))
        terms.append(np.mean([log_sum - x[i] @ x[p] / temperature for p in others if clip[p] == clip[i]]))
    np.testing.assert_allclose(appearance_contrast(codes, temperature), np.mean(terms), rtol=1e-5)


def contrast(views, negatives, min_gap=0.0):
    return float(structure_contrast(*views, 0.1, negatives, min_gap))


def test_structure_contrast_is_symmetric_in_the_views(views):
    structure, augmented, coefficients = views
    for negatives in ("clip", "batch", "both"):
        one = contrast((structure, augmented, coefficients), negatives, 0.3)
        np.testing.assert_allclose(one, contrast((augmented, structure, coefficients), negatives, 0.3), rtol=1e-5)


def test_only_negatives_of_the_batch_reward_identity(views):
    """A mark that all codes of a clip share lowers the contrast with other clips, not that within the clip."""
    structure, augmented, coefficients = views
    blank = jnp.zeros((B, T, B))
    identity = jnp.broadcast_to(jnp.eye(B)[:, None], (B, T, B)) * 3

    def gain(negatives):
        with_identity, without = (
            tuple(jnp.concatenate([x, mark], -1) for x in (structure, augmented)) for mark in (identity, blank)
        )
        return contrast((*without, coefficients), negatives) - contrast((*with_identity, coefficients), negatives)

    assert gain("batch") > 0.5
    assert gain("clip") < 0


def test_negatives_of_the_clip_are_those_of_each_clip_alone(views):
    alone = [contrast([x[i : i + 1] for x in views], "clip") for i in range(B)]
    np.testing.assert_allclose(contrast(views, "clip"), np.mean(alone), rtol=1e-5)


def test_frames_closer_than_the_gap_are_no_negatives():
    """Two frames of one clip, 0.5 apart (RMS over directions): with a larger gap nothing is left to push away."""
    structure, augmented = normal(0, 1, 2, 5), normal(1, 1, 2, 5)
    coefficients = jnp.array([[[0.0, 0.0], [0.5, 0.5]]])
    views = (structure, augmented, coefficients)
    assert contrast(views, "clip", 0.4) == contrast(views, "clip", 0.0) > 0
    assert contrast(views, "clip", 0.6) == pytest.approx(0, abs=1e-6)
    other_clip = tuple(x.reshape(2, 1, -1) for x in views)  # the same frames, as two clips
    assert contrast(other_clip, "batch", 0.4) > 0
    assert contrast(other_clip, "batch", 0.6) == pytest.approx(0, abs=1e-6)


def test_unknown_negatives_are_refused(views):
    with pytest.raises(ValueError, match="clip, batch, both; got 'frames'"):
        contrast(views, "frames")


def test_contrast_stays_finite_at_the_edges():
    codes = jnp.concatenate([jnp.zeros((1, T, 5)), 1e-20 * normal(0, 1, T, 5), 1e15 * normal(0, 2, T, 5)])
    value, grad = jax.jit(jax.value_and_grad(losses.appearance_contrast))(codes, 0.001)
    assert np.isfinite(value)
    assert np.isfinite(grad).all()
    assert appearance_contrast(normal(0, B, 1, 5), 0.1) == 0  # no anchor has a positive


def test_memory_grows_with_pairs_not_with_pairs_times_width():
    codes = jax.ShapeDtypeStruct((256, 4, 256), jnp.float32)  # [n, n, c] would be 1 GiB
    memory = jax.jit(jax.grad(losses.appearance_contrast)).lower(codes, 0.1).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 40 * 2**20


def test_value_and_gradient_of_a_sharded_batch_are_those_of_one_device(views):
    def loss(structure, augmented, coefficients):
        return losses.appearance_contrast(structure, 0.1) + losses.structure_contrast(
            structure, augmented, coefficients, 0.1, "both", 0.3
        )

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(views, NamedSharding(mesh, PartitionSpec("data")))
    (value, grads), (value8, grads8) = step(*views), step(*sharded)
    np.testing.assert_allclose(value, value8, rtol=1e-6)
    for one, eight in zip(grads, grads8, strict=True):
        np.testing.assert_allclose(one, eight, atol=1e-6)
