"""The losses against closed forms, Optax, a plain loop, and themselves on eight devices and in blocks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from disentangle_jax.model import losses

B, T, K = 8, 3, 2
FORM = {"form": "supcon_out", "block_size": 0}
_STATIC = ("form", "block_size", "negatives", "min_gap")
appearance_contrast = jax.jit(partial(losses.appearance_contrast, **FORM), static_argnames=_STATIC[:2])
structure_contrast = jax.jit(partial(losses.structure_contrast, **FORM), static_argnames=_STATIC)
appearance_ratio, structure_ratio = jax.jit(losses.appearance_ratio), jax.jit(losses.structure_ratio)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def views():
    """Structure codes, which leave room for a mark of each clip, those of the augmented frames, coefficients."""
    structure = normal(0, B, T, 5)
    codes = (np.pad(x, [(0, 0), (0, 0), (0, B)]) for x in (structure, structure + 0.5 * normal(1, B, T, 5)))
    return *codes, normal(2, B, T, K)


def test_reconstruction_is_one_for_the_mean_and_zero_for_the_truth():
    ws = 3 + normal(0, 500, 2, 4) * np.array([0.1, 1.0, 2.0, 30.0], np.float32)
    mean, std, reconstruction = np.broadcast_to(ws.mean(0), ws.shape), ws.std(0), jax.jit(losses.reconstruction)
    np.testing.assert_allclose(reconstruction(mean, ws, std), 1.0, rtol=1e-4)
    assert reconstruction(ws, ws, std) == 0


def test_appearance_ratio_is_the_share_of_variance_within_clips():
    codes = normal(0, 50, 3, 5) + 7.0
    x = np.asarray(codes, np.float64)
    expected = x.var(axis=1, ddof=1).mean(0).sum() / x.reshape(150, 5).var(axis=0).sum()
    np.testing.assert_allclose(appearance_ratio(codes), expected, rtol=1e-5)
    np.testing.assert_allclose(appearance_ratio(3.0 * codes + 2.0), expected, rtol=1e-4)
    assert appearance_ratio(np.broadcast_to(codes[:, :1], codes.shape)) < 1e-10
    assert appearance_ratio(np.zeros_like(codes)) == 0


def test_structure_ratio_is_the_share_of_variance_between_the_views_of_a_frame(views):
    structure, augmented, _ = views
    x = np.stack([structure, augmented], axis=2, dtype=np.float64).reshape(B * T, 2, -1)
    expected = x.var(axis=1, ddof=1).mean(0).sum() / x.reshape(2 * B * T, -1).var(axis=0).sum()
    np.testing.assert_allclose(structure_ratio(structure, augmented), expected, rtol=1e-5)
    np.testing.assert_allclose(structure_ratio(augmented, structure), expected, rtol=1e-5)
    assert structure_ratio(structure, structure) < 1e-10


def test_a_small_drift_costs_the_ratio_its_square_and_the_contrast_its_fourth_power():
    """Clips far apart, whose frames differ a little."""
    still, drift = 10.0 * np.eye(4, 5, dtype=np.float32)[:, None], 0.3 * normal(0, 4, 3, 5)
    once, twice = still + drift, still + 2 * drift
    np.testing.assert_allclose(float(appearance_ratio(twice)) / float(appearance_ratio(once)), 4, rtol=0.1)
    excess = [float(appearance_contrast(codes, 0.05)) - np.log(2.0) for codes in (once, twice)]  # two positives each
    np.testing.assert_allclose(excess[1] / excess[0], 16, rtol=0.3)


def test_appearance_contrast_equals_ntxent_for_clips_of_two_frames():
    codes = normal(0, 6, 2, 5)
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(optax.losses.ntxent)(codes.reshape(12, 5), np.repeat(np.arange(6), 2), 0.1)
    np.testing.assert_allclose(appearance_contrast(codes, 0.1), expected, rtol=1e-5)


def test_structure_contrast_equals_ntxent_when_every_other_frame_is_a_negative(views):
    structure, augmented, coefficients = views
    both = np.concatenate([structure, augmented]).reshape(2 * B * T, -1)
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(optax.losses.ntxent)(both, np.tile(np.arange(B * T), 2), 0.1)
    ours = structure_contrast(structure, augmented, coefficients, 0.1, negatives="both", min_gap=0.0)
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


def contrast(views, negatives):
    return float(structure_contrast(*views, 0.1, negatives=negatives, min_gap=0.3))


def test_structure_contrast_is_symmetric_in_the_views(views):
    structure, augmented, coefficients = views
    for negatives in ("clip", "batch", "both"):
        one = contrast((structure, augmented, coefficients), negatives)
        np.testing.assert_allclose(one, contrast((augmented, structure, coefficients), negatives), rtol=1e-5)


def test_only_negatives_of_the_batch_reward_identity(views):
    """A mark that all codes of a clip share lowers the contrast with other clips, not that within the clip."""
    structure, augmented, coefficients = views
    identity = 3 * np.pad(np.eye(B, dtype=np.float32), [(0, 0), (5, 0)])[:, None]

    def gain(negatives):
        return contrast(views, negatives) - contrast(
            (structure + identity, augmented + identity, coefficients), negatives
        )

    assert gain("batch") > 0.5
    assert gain("clip") < 0


def test_negatives_of_the_clip_are_those_of_each_clip_alone(views):
    alone = [contrast([x[i : i + 1] for x in views], "clip") for i in range(B)]
    np.testing.assert_allclose(contrast(views, "clip"), np.mean(alone), rtol=1e-5)


def test_frames_closer_than_the_gap_are_no_negatives(views):
    """By the RMS over directions, and the gap is 0.3: where all lie closer nothing is left to push away."""
    *codes, _ = views
    frame, clip = np.arange(T, dtype=np.float32)[None, :, None], np.arange(B, dtype=np.float32)[:, None, None]

    def spaced(steps, negatives):
        return contrast((*codes, np.broadcast_to(steps, (B, T, K)).astype(np.float32)), negatives)

    assert spaced(0.32 * frame, "clip") == spaced(9.0 * frame, "clip") > 0
    assert spaced(0.29 / (T - 1) * frame, "clip") == pytest.approx(0, abs=1e-6)
    assert spaced(0.32 * clip, "batch") == spaced(9.0 * clip, "batch") > 0
    assert spaced(0.29 / (B - 1) * clip, "batch") == pytest.approx(0, abs=1e-6)


def test_unknown_negatives_are_refused(views):
    with pytest.raises(ValueError, match="batch, clip, both; got 'frames'"):
        contrast(views, "frames")


def test_clips_of_one_frame_have_no_positive():
    assert appearance_contrast(normal(0, B, 1, 5), 0.1) == 0


def both_contrasts(block_size, structure, augmented, coefficients):
    options = {"form": "supcon_out", "block_size": block_size}
    return losses.appearance_contrast(structure, 0.1, **options) + losses.structure_contrast(
        structure, augmented, coefficients, 0.1, negatives="both", min_gap=0.3, **options
    )


def both_ratios(structure, augmented, coefficients):
    return 10.0 * losses.appearance_ratio(augmented) + losses.structure_ratio(structure, augmented)


def test_devices_change_neither_the_ratios_nor_their_gradient(views, collectives):
    step = jax.jit(jax.value_and_grad(both_ratios, argnums=(0, 1)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(views, NamedSharding(mesh, PartitionSpec("data")))
    compiled = step.lower(*sharded).compile()
    (value, grads), (value8, grads8) = step(*views), compiled(*sharded)
    np.testing.assert_allclose(value, value8, rtol=1e-6)
    for one, eight in zip(grads, grads8, strict=True):
        assert np.abs(one).max() > 1e-3
        np.testing.assert_allclose(one, eight, atol=1e-6)
    # Of each ratio a mean, and two sums of squares: no code leaves its device.
    assert sum(size for _, size in collectives(compiled)) <= 2 * (views[0].shape[-1] + 2)


@pytest.mark.parametrize("block_size", [0, 24])
def test_devices_and_blocks_change_neither_value_nor_gradient(views, block_size, collectives):
    value, grads = jax.jit(jax.value_and_grad(partial(both_contrasts, 0), argnums=(0, 1)))(*views)
    step = jax.jit(jax.value_and_grad(partial(both_contrasts, block_size), argnums=(0, 1)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(views, NamedSharding(mesh, PartitionSpec("data")))
    compiled = step.lower(*sharded).compile()
    value8, grads8 = compiled(*sharded)
    np.testing.assert_allclose(value, value8, rtol=1e-6)
    for one, eight in zip(grads, grads8, strict=True):
        np.testing.assert_allclose(one, eight, atol=1e-6)
    # The codes of both contrasts are gathered, and the views' coefficients; in blocks also three numbers an anchor.
    gathered = sum(size for name, size in collectives(compiled) if "all-gather" in name)
    assert gathered <= B * T * (3 * views[0].shape[-1] + 2 * K) + (3 * 3 * B * T if block_size else 0)


@pytest.mark.parametrize("form", ["supcon_out", pytest.param("nt_xent", marks=pytest.mark.slow)])
def test_65536_codes_fit_into_two_gigabytes(form):
    """Value and gradient by blocks, compiled for shapes alone; all pairs at once would be 16 GiB."""
    codes, options = jax.ShapeDtypeStruct((16384, 4, 128), jnp.float32), {"form": form, "block_size": 512}
    views, coefficients = (jax.ShapeDtypeStruct((8192, 4, width), jnp.float32) for width in (128, 7))
    appearance = jax.jit(jax.value_and_grad(partial(losses.appearance_contrast, **options)))
    structure = partial(losses.structure_contrast, negatives="both", min_gap=0.3, **options)
    structure = jax.jit(jax.value_and_grad(structure, argnums=(0, 1)))
    for lowered in (appearance.lower(codes, 0.1), structure.lower(views, views, coefficients, 0.1)):
        memory = lowered.compile().memory_analysis()
        assert memory is not None
        assert memory.temp_size_in_bytes < 2 * 2**30
