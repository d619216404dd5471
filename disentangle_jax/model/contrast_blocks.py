"""The contrast in blocks of anchors: memory grows with n times the block size instead of n times n.

Anchors are processed one block after the other, for the value and again for the gradient. The derivative is written by
hand: from the forward pass it needs only a few numbers for each anchor, and it sums no gradient over blocks or devices.

Axes: n embeddings, r of them as anchors, c their width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from disentangle_jax.model.contrast_forms import (
    FORMS,
    PRECISION,
    Mask,
    count,
    hardest,
    log_sum_exp,
    mean_loss,
    mean_over,
    similarities,
)

Pairs = Callable[[PyTree, PyTree], tuple[Bool[Array, "r n"], Bool[Array, "r n"]]]
"""(labels of r anchors, labels of n rows) -> masks of the positive and of the negative pairs."""

Statistics = tuple[Shaped[Array, "r 1"], ...]


class Derivative(NamedTuple):
    """The derivative of an anchor's loss with respect to its similarities.

    Attributes:
        statistics: (s [r, n], positives, negatives) -> numbers of each anchor that `slope` needs.
        slope: (s, positives, negatives, index, *statistics) -> the derivative of the anchor's loss by each entry of s.
            With statistics [r, 1] and the columns' indices [1, n] the rows of s are the anchors. With statistics
            [1, n] and the rows' indices [r, 1] the columns are.
    """

    statistics: Callable[[Float[Array, "r n"], Mask, Mask], Statistics]
    slope: Callable[..., Float[Array, "r n"]]


def blockwise_contrast(
    unit: Float[Array, "n c"],
    pairs: Pairs,
    labels: PyTree[Shaped[Array, "n ..."]],
    temperature: Float[Array, ""],
    form: str,
    block_size: int,
) -> Float[Array, ""]:
    """See `contrast.contrast`; the embeddings have unit length, and the block size is positive."""
    return _by_blocks(form, pairs, block_size, unit, temperature, labels)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _by_blocks(form: str, pairs: Pairs, block_size: int, unit: Array, temperature: Array, labels: PyTree) -> Array:
    return _forward(form, pairs, block_size, unit, temperature, labels)[0]


def _forward(form: str, pairs: Pairs, block_size: int, unit: Array, temperature: Array, labels: PyTree):
    rows, row_labels = gather((unit, labels))

    def measure(block):
        anchors, anchor_labels = block
        arguments = (similarities(anchors, rows, temperature), *pairs(anchor_labels, row_labels))
        return FORMS[form](*arguments), _DERIVATIVES[form].statistics(*arguments)

    losses, statistics = _map_blocks(measure, (unit, labels), block_size)
    return mean_loss(losses), (unit, temperature, labels, losses.counts, statistics)


def _backward(form: str, pairs: Pairs, block_size: int, residuals, cotangent: Array):
    """With g_ij the derivative of the mean by s_ij, the derivative by x_i is sum_j (g_ij + g_ji) x_j / temperature.

    s is symmetric, so a block of it gives both terms: its rows as anchors, and its columns as anchors.
    """
    unit, temperature, labels, counts, statistics = residuals
    counts = counts.astype(unit.dtype)
    weights = counts / jnp.maximum(jnp.sum(counts), 1.0)
    anchors = (unit, labels, (weights, jnp.arange(len(unit))[:, None], statistics))
    rows, row_labels, row_details = gather(anchors)
    row_weights, row_index, row_statistics = jax.tree.map(jnp.transpose, row_details)
    slope = _DERIVATIVES[form].slope

    def gradient(block):
        block_unit, block_labels, (block_weights, block_index, block_statistics) = block
        s = similarities(block_unit, rows, temperature)
        masks = pairs(block_labels, row_labels)
        as_anchors = block_weights * slope(s, *masks, row_index, *block_statistics)
        as_others = row_weights * slope(s, *masks, block_index, *row_statistics)
        by_unit = jnp.matmul(as_anchors + as_others, rows, precision=PRECISION)
        return by_unit, jnp.sum(as_anchors * s, axis=1)

    by_unit, by_log_temperature = _map_blocks(gradient, anchors, block_size)
    scale = cotangent / temperature
    return scale * by_unit, -scale * jnp.sum(by_log_temperature), None


_by_blocks.defvjp(_forward, _backward)


def gather(tree: PyTree) -> PyTree:
    """Gather arrays that are sharded over devices, once and here, instead of wherever XLA first needs them."""

    def replicate(x: Array) -> Array:
        mesh = jax.typeof(x).sharding.mesh
        automatic = mesh.axis_types and all(kind == AxisType.Auto for kind in mesh.axis_types)
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec())) if automatic else x

    return jax.tree.map(replicate, tree)


def _map_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, block_size: int) -> PyTree:
    """Apply a function to `block_size` rows at a time, and join its results.

    Block k holds the rows k, k + n / block_size, ...: each device has its share of every block.
    """

    def split(x: Array) -> Array:  # optax.microbatching.reshape_batch_axis takes no empty arrays
        return x.reshape(block_size, len(x) // block_size, *x.shape[1:]).swapaxes(0, 1)

    def join(y: Array) -> Array:
        return y.swapaxes(0, 1).reshape(y.shape[0] * y.shape[1], *y.shape[2:])

    return jax.tree.map(join, jax.lax.map(function, jax.tree.map(split, rows)))


def _supcon_out_statistics(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Statistics:
    return log_sum_exp(s, positives | negatives), count(positives, s)


def _supcon_out_slope(s, positives, negatives, index, log_sum, num_positives):
    push = jnp.where(positives | negatives, jnp.exp(s - log_sum), 0.0)
    return push - jnp.where(positives, 1.0 / num_positives, 0.0)


def _supcon_in_statistics(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Statistics:
    return log_sum_exp(s, positives | negatives), log_sum_exp(s, positives)


def _supcon_in_slope(s, positives, negatives, index, log_sum, log_positives):
    push = jnp.where(positives | negatives, jnp.exp(s - log_sum), 0.0)
    return push - jnp.where(positives, jnp.exp(s - log_positives), 0.0)


def _nt_xent_statistics(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Statistics:
    log_sum = log_sum_exp(s, negatives)
    return log_sum, mean_over(jax.nn.sigmoid(log_sum - s), positives), count(positives, s)


def _nt_xent_slope(s, positives, negatives, index, log_sum, mean_push, num_positives):
    push = jnp.where(negatives, mean_push * jnp.exp(s - log_sum), 0.0)
    return push - jnp.where(positives, jax.nn.sigmoid(log_sum - s) / num_positives, 0.0)


def _decoupled_statistics(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Statistics:
    return log_sum_exp(s, negatives), count(positives, s)


def _decoupled_slope(s, positives, negatives, index, log_sum, num_positives):
    push = jnp.where(negatives, jnp.exp(s - log_sum), 0.0)
    return push - jnp.where(positives, 1.0 / num_positives, 0.0)


def _triplet_statistics(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Statistics:
    hardest_positive, hardest_negative = hardest(s, positives, negatives)
    gap = jnp.take_along_axis(s, hardest_negative, axis=1) - jnp.take_along_axis(s, hardest_positive, axis=1)
    return hardest_positive, hardest_negative, jax.nn.sigmoid(gap)


def _triplet_slope(s, positives, negatives, index, hardest_positive, hardest_negative, push):
    return jnp.where(index == hardest_negative, push, 0.0) - jnp.where(index == hardest_positive, push, 0.0)


_DERIVATIVES = {
    "supcon_out": Derivative(_supcon_out_statistics, _supcon_out_slope),
    "supcon_in": Derivative(_supcon_in_statistics, _supcon_in_slope),
    "nt_xent": Derivative(_nt_xent_statistics, _nt_xent_slope),
    "decoupled": Derivative(_decoupled_statistics, _decoupled_slope),
    "triplet": Derivative(_triplet_statistics, _triplet_slope),
}
