"""The forms of the contrastive loss: what one anchor's loss is, given its similarities to all rows.

Each function takes the similarities s [r, n] of r anchors to n rows, and two masks [r, n] that say which rows are an
anchor's positives P and negatives N. The derivative is JAX's; `contrast_blocks` has derivatives for the blockwise form.

Axes: r anchors, n rows.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Mask = Bool[Array, "r n"]

PRECISION = jax.lax.Precision.HIGHEST  # a temperature of 0.1 multiplies rounding errors by ten


class AnchorLosses(NamedTuple):
    """Losses of anchors.

    Attributes:
        loss: the loss of each anchor.
        counts: whether the anchor counts in the mean over anchors.
    """

    loss: Float[Array, "r 1"]
    counts: Bool[Array, "r 1"]


def supcon_out(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> AnchorLosses:
    """The supervised contrastive loss with the mean over positives outside of the logarithm:

        mean_{p in P} [log sum_{j in P or N} exp s_ij - s_ip]

    Anchors without a positive do not count.

    Source: Khosla et al. 2020, arXiv:2004.11362, equation 2.

    >>> positives, negatives = jnp.array([[True, False, False]]), jnp.array([[False, True, True]])
    >>> round(supcon_out(jnp.array([[1.0, 0.0, 0.0]]), positives, negatives).loss.item(), 4)  # log(e + 2) - 1
    0.5514
    """
    log_sum = log_sum_exp(s, positives | negatives)
    return AnchorLosses(mean_over(log_sum - s, positives), any_of(positives))


def supcon_in(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> AnchorLosses:
    """The supervised contrastive loss with the mean over positives inside of the logarithm:

        log sum_{j in P or N} exp s_ij - log mean_{p in P} exp s_ip

    Anchors without a positive do not count.

    Source: Khosla et al. 2020, arXiv:2004.11362, equation 3.

    >>> positives, negatives = jnp.array([[True, True, False]]), jnp.array([[False, False, True]])
    >>> s = jnp.log(jnp.array([[1.0, 3.0, 4.0]]))
    >>> round(supcon_in(s, positives, negatives).loss.item(), 4)  # log((1 + 3 + 4) / mean(1, 3))
    1.3863
    """
    log_sum = log_sum_exp(s, positives | negatives)
    log_positives = log_sum_exp(s, positives)
    return AnchorLosses(jnp.log(count(positives, s)) + log_sum - log_positives, any_of(positives))


def nt_xent(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> AnchorLosses:
    """The normalized temperature-scaled cross entropy, in which a positive competes with the negatives only:

        mean_{p in P} [log (exp s_ip + sum_{j in N} exp s_ij) - s_ip]

    Anchors without a positive do not count.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1; several positives as in `optax.losses.ntxent`, which takes
    the mean over pairs instead of anchors.

    >>> positives, negatives = jnp.array([[True, True, False]]), jnp.array([[False, False, True]])
    >>> s = jnp.log(jnp.array([[1.0, 3.0, 3.0]]))
    >>> round(nt_xent(s, positives, negatives).loss.item(), 4)  # mean of log((1 + 3) / 1) and log((3 + 3) / 3)
    1.0397
    """
    log_sum = log_sum_exp(s, negatives)
    return AnchorLosses(mean_over(jax.nn.softplus(log_sum - s), positives), any_of(positives))


def decoupled(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> AnchorLosses:
    """The decoupled contrastive loss, whose denominator holds the negatives only:

        mean_{p in P} [log sum_{j in N} exp s_ij - s_ip]

    Anchors without a positive or without a negative do not count.

    Source: Yeh et al. 2022, arXiv:2110.06848.

    >>> positives, negatives = jnp.array([[True, False, False]]), jnp.array([[False, True, True]])
    >>> round(decoupled(jnp.array([[1.0, 0.0, 0.0]]), positives, negatives).loss.item(), 4)  # log 2 - 1
    -0.3069
    """
    log_sum = log_sum_exp(s, negatives)
    return AnchorLosses(mean_over(log_sum - s, positives), any_of(positives) & any_of(negatives))


def triplet(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> AnchorLosses:
    """The triplet loss with a soft margin, of the hardest positive and the hardest negative:

        log (1 + exp (max_{j in N} s_ij - min_{p in P} s_ip))

    Anchors without a positive or without a negative do not count.

    Source: Hermans et al. 2017, arXiv:1703.07737, with similarities instead of distances.

    >>> positives, negatives = jnp.array([[True, True, False]]), jnp.array([[False, False, True]])
    >>> round(triplet(jnp.array([[1.0, 5.0, 1.0]]), positives, negatives).loss.item(), 4)  # log 2
    0.6931
    """
    hardest_positive, hardest_negative = hardest(s, positives, negatives)
    gap = jnp.take_along_axis(s, hardest_negative, axis=1) - jnp.take_along_axis(s, hardest_positive, axis=1)
    return AnchorLosses(jax.nn.softplus(gap), any_of(positives) & any_of(negatives))


FORMS: dict[str, Callable[[Float[Array, "r n"], Mask, Mask], AnchorLosses]] = {
    "supcon_out": supcon_out,
    "supcon_in": supcon_in,
    "nt_xent": nt_xent,
    "decoupled": decoupled,
    "triplet": triplet,
}
"""All forms by the names that configs use."""


def floor(form: str, positives: int) -> float:
    """The loss of an anchor whose positives are all alike and far nearer than any negative.

    Of the supervised forms it is log |P|, for their positives compete with each other. `decoupled` has no least value;
    it counts from 0, as the others do.

    Args:
        form: one of `FORMS`.
        positives: how many an anchor has.

    >>> [round(floor(form, 3), 4) for form in ("supcon_out", "nt_xent")]
    [1.0986, 0.0]
    """
    return math.log(positives) if form in ("supcon_out", "supcon_in") else 0.0


_FAR = 1e9  # larger than any similarity


def similarities(
    x: Float[Array, "r c"], y: Float[Array, "n c"], temperature: float | Float[Array, ""]
) -> Float[Array, "r n"]:
    """Products of all rows of x and y, divided by the temperature."""
    return jnp.matmul(x, y.T, precision=PRECISION) / temperature


def mean_loss(losses: AnchorLosses) -> Float[Array, ""]:
    """The mean over the anchors that count; 0 if there are none."""
    total = jnp.sum(jnp.where(losses.counts, losses.loss, 0.0))
    return total / jnp.maximum(jnp.sum(losses.counts, dtype=total.dtype), 1.0)


def log_sum_exp(s: Float[Array, "r n"], mask: Mask) -> Float[Array, "r 1"]:
    """log sum exp over a mask; of an empty one a large negative number, since -inf would make the gradient NaN."""
    return jax.nn.logsumexp(jnp.where(mask, s, -_FAR), axis=1, keepdims=True)


def mean_over(values: Float[Array, "r n"], mask: Mask) -> Float[Array, "r 1"]:
    """The mean over a mask; 0 of an empty one."""
    return jnp.sum(jnp.where(mask, values, 0.0), axis=1, keepdims=True) / count(mask, values)


def count(mask: Mask, like: Float[Array, "r n"]) -> Float[Array, "r 1"]:
    """The number of true entries, at least 1, in the dtype of `like`."""
    return jnp.maximum(jnp.sum(mask, axis=1, keepdims=True, dtype=like.dtype), 1.0)


def any_of(mask: Mask) -> Bool[Array, "r 1"]:
    """Whether a row of the mask has a true entry."""
    return jnp.any(mask, axis=1, keepdims=True)


def hardest(s: Float[Array, "r n"], positives: Mask, negatives: Mask) -> tuple[Array, Array]:
    """Indices [r, 1] of the least similar positive and of the most similar negative."""
    hardest_positive = jnp.argmin(jnp.where(positives, s, _FAR), axis=1, keepdims=True)
    hardest_negative = jnp.argmax(jnp.where(negatives, s, -_FAR), axis=1, keepdims=True)
    return hardest_positive, hardest_negative
