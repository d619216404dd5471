"""Contrast of embeddings: pull positives together, push negatives apart, all at once or block by block.

An anchor i sees its positives P(i) and negatives N(i), sets of other rows, through their similarities s_ij =
cosine(x_i, x_j) / temperature. A form makes of them the loss of the anchor; the contrast is its mean over anchors:

    supcon_out  mean_{p in P} [log sum_{j in P or N} exp s_ij - s_ip]
    supcon_in   log sum_{j in P or N} exp s_ij - log mean_{p in P} exp s_ip
    nt_xent     mean_{p in P} [log (exp s_ip + sum_{j in N} exp s_ij) - s_ip]
    decoupled   mean_{p in P} [log sum_{j in N} exp s_ij - s_ip]
    triplet     log (1 + exp (max_{j in N} s_ij - min_{p in P} s_ip))

The first three agree where each anchor has one positive. Anchors without a positive are left out; of the last two,
those without a negative too. The triplet takes the hardest of the batch, with a soft margin that the temperature
scales.

Sources: Khosla et al. 2020 (arXiv:2004.11362), equations 2 and 3, for SupCon; Chen et al. 2020 (arXiv:2002.05709),
equation 1, for NT-Xent, with several positives as in `optax.losses.ntxent`, whose mean is over pairs instead of
anchors; Yeh et al. 2022 (arXiv:2110.06848) for the decoupled form; Hermans et al. 2017 (arXiv:1703.07737) for the
triplet, there with distances instead of cosines.

Of a batch that is sharded over devices each takes its own rows as anchors, against all rows, which are gathered once.

Axes: n embeddings, r of them as anchors, c their width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, PyTree, Shaped

Scalar = float | Float[Array, ""]
Mask = Bool[Array, "r n"]
Pairs = Callable[[PyTree, PyTree], tuple[Bool[Array, "r n"], Bool[Array, "r n"]]]
"""(what is known of r rows, and of n rows) -> which pairs are positive, and which negative."""


class Measured(NamedTuple):
    """What anchors find: their losses, which of them count, and what `Form.slope` needs to know of them."""

    loss: Float[Array, "r 1"]
    counts: Bool[Array, "r 1"]
    statistics: tuple[Shaped[Array, "r 1"], ...]


class Form(NamedTuple):
    """A form of contrast.

    Attributes:
        measure: (s [r, n], positives, negatives) -> what r anchors find.
        slope: (s, positives, negatives, index, *statistics) -> the derivative of an anchor's loss by s. Statistics
            [r, 1] with the columns' index [1, n] make the rows of s its anchors, [1, n] with the rows' index [r, 1]
            the columns.
    """

    measure: Callable[[Float[Array, "r n"], Mask, Mask], Measured]
    slope: Callable[..., Float[Array, "r n"]]


def contrast(
    embeddings: Float[Array, "n c"],
    pairs: Pairs,
    places: PyTree[Shaped[Array, "n ..."]],
    temperature: Scalar,
    form: str,
    block_size: int,
) -> Float[Array, ""]:
    """The contrast of all embeddings with each other; 0 if there is no anchor.

    In blocks, its memory grows with n times `block_size` instead of n times n: a block of anchors is done after the
    other, for the value and again for the gradient, which needs of the first pass only a few numbers an anchor.

    Args:
        embeddings: the rows, of any length: cosines are compared.
        pairs: the masks of some rows, as anchors, over all rows. They are symmetric, whose positive I am is mine, and
            false where an anchor meets itself.
        places: what `pairs` goes by, for each row: any arrays. There is no gradient by them.
        temperature: divides the similarities.
        form: the loss of an anchor; see the module.
        block_size: 0 takes all anchors at once, else a divisor of n; a multiple of the number of devices keeps each of
            them busy.

    Raises:
        ValueError: there is no such form, or the blocks do not divide the embeddings.

    >>> x = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> def pairs(one, other):
    ...     same = one[:, None] // 2 == other[None, :] // 2
    ...     return same & (one[:, None] != other[None, :]), ~same
    >>> round(float(contrast(x, pairs, jnp.arange(4), 1.0, "supcon_out", 0)), 4)  # log(e^1 + 2 e^0) - 1
    0.5514
    >>> round(float(contrast(x, pairs, jnp.arange(4), 1.0, "decoupled", 2)), 4)  # log(2 e^0) - 1
    -0.3069
    """
    if form not in FORMS:
        raise ValueError(f"there is no form of contrast {form!r}; choose one of {', '.join(FORMS)}")
    if block_size < 0 or (block_size and len(embeddings) % block_size):
        raise ValueError(f"blocks of {block_size} do not divide {len(embeddings)} embeddings evenly")
    squares = jnp.sum(jnp.square(embeddings), axis=-1, keepdims=True)
    unit = embeddings * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))
    if block_size:
        return _by_blocks(FORMS[form], pairs, block_size, unit, jnp.asarray(temperature, unit.dtype), places)
    others, their_places = _everywhere((unit, places))
    return _mean(FORMS[form].measure(_products(unit, others) / temperature, *pairs(places, their_places)))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _by_blocks(form: Form, pairs: Pairs, block_size: int, unit: Array, temperature: Array, places: PyTree) -> Array:
    return _forward(form, pairs, block_size, unit, temperature, places)[0]


def _forward(form: Form, pairs: Pairs, block_size: int, unit: Array, temperature: Array, places: PyTree):
    others, their_places = _everywhere((unit, places))

    def measure(anchors):
        rows, own_places = anchors
        return form.measure(_products(rows, others) / temperature, *pairs(own_places, their_places))

    found = _map_blocks(measure, (unit, places), block_size)
    return _mean(found), (unit, temperature, places, found)


def _backward(form: Form, pairs: Pairs, block_size: int, saved, cotangent: Array):
    """With g_ij the derivative of the mean by s_ij, that by x_i is sum_j (g_ij + g_ji) x_j / temperature.

    s is symmetric, so one block gives both terms: its rows once as the anchors, once as what the others see. No
    gradient is summed over blocks or devices.
    """
    unit, temperature, places, found = saved
    counts = found.counts.astype(unit.dtype)
    about = (counts / jnp.maximum(jnp.sum(counts), 1.0), jnp.arange(len(unit))[:, None], found.statistics)
    others, their_places, about_others = _everywhere((unit, places, about))
    their_weight, their_index, their_statistics = jax.tree.map(jnp.transpose, about_others)

    def slopes(anchors):
        rows, own_places, (weight, index, statistics) = anchors
        s, related = _products(rows, others) / temperature, pairs(own_places, their_places)
        own = weight * form.slope(s, *related, their_index, *statistics)
        seen = their_weight * form.slope(s, *related, index, *their_statistics)
        return jnp.matmul(own + seen, others, precision=_PRECISION), jnp.sum(own * s, axis=1)

    by_unit, by_log_temperature = _map_blocks(slopes, (unit, places, about), block_size)
    scale = cotangent / temperature
    return scale * by_unit, -scale * jnp.sum(by_log_temperature), None


_by_blocks.defvjp(_forward, _backward)


def _map_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, block_size: int) -> PyTree:
    """`function` of rows, `block_size` of them at a time, its results put together.

    Block k holds the rows k, k + n / block_size, ...: of rows spread over devices, each block has its share of all.
    """

    def split(x: Array) -> Array:
        return x.reshape(block_size, len(x) // block_size, *x.shape[1:]).swapaxes(0, 1)

    def join(y: Array) -> Array:
        return y.swapaxes(0, 1).reshape(y.shape[0] * y.shape[1], *y.shape[2:])

    return jax.tree.map(join, jax.lax.map(function, jax.tree.map(split, rows)))


def _everywhere(tree: PyTree) -> PyTree:
    """Arrays that are spread over devices, gathered on each: here and once, not wherever XLA first needs them whole."""

    def gather(x: Array) -> Array:
        mesh = jax.typeof(x).sharding.mesh
        automatic = mesh.axis_types and all(kind == AxisType.Auto for kind in mesh.axis_types)
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec())) if automatic else x

    return jax.tree.map(gather, tree)


# All of a product's digits: a temperature of 0.1 makes ten times of any rounding.
_PRECISION = jax.lax.Precision.HIGHEST


def _products(x: Float[Array, "r c"], y: Float[Array, "n c"]) -> Float[Array, "r n"]:
    return jnp.matmul(x, y.T, precision=_PRECISION)


def _mean(found: Measured) -> Float[Array, ""]:
    total = jnp.sum(jnp.where(found.counts, found.loss, 0.0))
    return total / jnp.maximum(jnp.sum(found.counts, dtype=total.dtype), 1.0)


def _log_sum_exp(s: Float[Array, "r n"], mask: Mask) -> Float[Array, "r 1"]:
    # Of an empty set it is a large negative number: minus infinity would make NaN of the gradient.
    return jax.nn.logsumexp(jnp.where(mask, s, -_FAR), axis=1, keepdims=True)


def _mean_of(values: Float[Array, "r n"], mask: Mask) -> Float[Array, "r 1"]:
    return jnp.sum(jnp.where(mask, values, 0.0), axis=1, keepdims=True) / _count(mask, values)


def _count(mask: Mask, like: Float[Array, "r n"]) -> Float[Array, "r 1"]:
    return jnp.maximum(jnp.sum(mask, axis=1, keepdims=True, dtype=like.dtype), 1.0)


def _any(mask: Mask) -> Bool[Array, "r 1"]:
    return jnp.any(mask, axis=1, keepdims=True)


_FAR = 1e9  # beyond any similarity


def _log_softmax(candidates: Callable[[Mask, Mask], Mask]) -> Form:
    """mean_{p in P} [log sum_{j in C} exp s_ij - s_ip] with candidates C of P and N."""

    def measure(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Measured:
        among = candidates(positives, negatives)
        log_sum = _log_sum_exp(s, among)
        counts = _any(positives) & _any(among)
        return Measured(_mean_of(log_sum - s, positives), counts, (log_sum, _count(positives, s)))

    def slope(s, positives, negatives, index, log_sum, count):
        among = candidates(positives, negatives)
        return jnp.where(among, jnp.exp(s - log_sum), 0.0) - jnp.where(positives, 1.0 / count, 0.0)

    return Form(measure, slope)


def _measure_in(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Measured:
    log_sum, log_positives = _log_sum_exp(s, positives | negatives), _log_sum_exp(s, positives)
    loss = jnp.log(_count(positives, s)) + log_sum - log_positives
    return Measured(loss, _any(positives), (log_sum, log_positives))


def _slope_in(s, positives, negatives, index, log_sum, log_positives):
    pull = jnp.where(positives, jnp.exp(s - log_positives), 0.0)
    return jnp.where(positives | negatives, jnp.exp(s - log_sum), 0.0) - pull


def _measure_nt_xent(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Measured:
    log_sum = _log_sum_exp(s, negatives)
    push = _mean_of(jax.nn.sigmoid(log_sum - s), positives)
    statistics = (log_sum, push, _count(positives, s))
    return Measured(_mean_of(jax.nn.softplus(log_sum - s), positives), _any(positives), statistics)


def _slope_nt_xent(s, positives, negatives, index, log_sum, push, count):
    pull = jnp.where(positives, jax.nn.sigmoid(log_sum - s) / count, 0.0)
    return jnp.where(negatives, push * jnp.exp(s - log_sum), 0.0) - pull


def _measure_triplet(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> Measured:
    farthest = jnp.argmin(jnp.where(positives, s, _FAR), axis=1, keepdims=True)
    nearest = jnp.argmax(jnp.where(negatives, s, -_FAR), axis=1, keepdims=True)
    gap = jnp.take_along_axis(s, nearest, axis=1) - jnp.take_along_axis(s, farthest, axis=1)
    counts = _any(positives) & _any(negatives)
    return Measured(jax.nn.softplus(gap), counts, (farthest, nearest, jax.nn.sigmoid(gap)))


def _slope_triplet(s, positives, negatives, index, farthest, nearest, push):
    return jnp.where(index == nearest, push, 0.0) - jnp.where(index == farthest, push, 0.0)


FORMS = {
    "supcon_out": _log_softmax(lambda positives, negatives: positives | negatives),
    "supcon_in": Form(_measure_in, _slope_in),
    "nt_xent": Form(_measure_nt_xent, _slope_nt_xent),
    "decoupled": _log_softmax(lambda positives, negatives: negatives),
    "triplet": Form(_measure_triplet, _slope_triplet),
}
"""Every form of contrast, by the name that a config gives it."""
