"""The contrast of a batch of embeddings: pull positive pairs together, push negative pairs apart.

An anchor i sees its positives P(i) and negatives N(i), sets of other rows, through the similarities
s_ij = cosine(x_i, x_j) / temperature. A form (see `contrast_forms`) defines the anchor's loss; the contrast is the mean
over anchors. `supcon_out`, `supcon_in` and `nt_xent` agree if every anchor has one positive.

If the batch is sharded over devices, each takes its own rows as anchors, against all rows, which are gathered once.

Axes: n embeddings, r of them as anchors, c their width.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from disentangle_jax.model.contrast_blocks import Pairs, blockwise_contrast, gather
from disentangle_jax.model.contrast_forms import FORMS, mean_loss, similarities

Scalar = float | Float[Array, ""]


def contrast(
    embeddings: Float[Array, "n c"],
    pairs: Pairs,
    labels: PyTree[Shaped[Array, "n ..."]],
    temperature: Scalar,
    form: str,
    block_size: int,
) -> Float[Array, ""]:
    """The mean loss of all embeddings as anchors against all others; 0 if there is no anchor.

    Args:
        embeddings: vectors of any length; cosines are compared.
        pairs: (labels of r anchors, labels of n rows) -> masks [r, n] of positive and of negative pairs. The masks of
            all rows must be symmetric, and false on the diagonal.
        labels: arrays that describe each row for `pairs`. They have no gradient.
        temperature: divides the similarities.
        form: a name in `contrast_forms.FORMS`.
        block_size: number of anchors to process at a time, a divisor of n; 0 for all. Memory grows with n times this
            number. A multiple of the number of devices keeps all of them busy.

    Raises:
        ValueError: there is no such form, or the block size does not divide n.

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
        return blockwise_contrast(unit, pairs, labels, jnp.asarray(temperature, unit.dtype), form, block_size)
    rows, row_labels = gather((unit, labels))
    return mean_loss(FORMS[form](similarities(unit, rows, temperature), *pairs(labels, row_labels)))
