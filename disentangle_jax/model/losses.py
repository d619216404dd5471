"""The losses: pure functions of arrays.

A contrast is one matrix product of all embeddings of the global batch, with masks over it: a batch sharded over
devices gives the value and the gradient that one device would. Swapping needs no loss of its own: it is
`reconstruction` of what was decoded from exchanged codes (see `training/objective.py`).

Axes: b clips, t frames, a appearance, s structure, k directions, n embeddings.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Scalar = float | Float[Array, ""]


def reconstruction(
    predicted: Float[Array, "*n l d"], ws: Float[Array, "*n l d"], std: Float[Array, "l d"]
) -> Float[Array, ""]:
    """Mean squared error in standard deviations of the latents: mean(((predicted - ws) / std)^2).

    0 is exact; 1 is what predicting the mean latent scores.

    >>> ws = jnp.array([[[3.0, -1.0]], [[1.0, 3.0]]])  # two latents of one layer: mean (2, 1), std (1, 2)
    >>> float(reconstruction(jnp.tile(ws.mean(0), (2, 1, 1)), ws, ws.std(0)))
    1.0
    """
    return jnp.mean(jnp.square((predicted - ws) / jnp.broadcast_to(std, ws.shape)))


def image_reconstruction(predicted: Float[Array, "*n h w c"], images: Float[Array, "*n h w c"]) -> Float[Array, ""]:
    """Mean squared error of pixels in [-1, 1]: mean((predicted - images)^2)."""
    return jnp.mean(jnp.square(predicted - images))


def info_nce(
    embeddings: Float[Array, "n c"],
    positives: Bool[Array, "n n"],
    negatives: Bool[Array, "n n"],
    temperature: Scalar,
) -> Float[Array, ""]:
    r"""Cosine InfoNCE with any number of positives: the "out" form of supervised contrast.

    With s_ij = cosine(x_i, x_j) / temperature, P(i) the positives and N(i) the negatives of anchor i,

        L = mean_i  1/|P(i)|  sum_{p in P(i)}  [ log sum_{j in P(i) or N(i)} exp(s_ij)  -  s_ip ]

    over the anchors that have a positive. The masks leave out the anchor itself. With one positive each and all other
    rows as negatives it is NT-Xent (`optax.losses.ntxent`).

    Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2 (L_out); for NT-Xent, Chen et
    al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.

    >>> x = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> pairs = jnp.kron(jnp.eye(2), 1 - jnp.eye(2)) == 1
    >>> others = jnp.kron(1 - jnp.eye(2), jnp.ones((2, 2))) == 1
    >>> round(float(info_nce(x, pairs, others, temperature=1.0)), 4)  # log(e^1 + 2 e^0) - 1
    0.5514
    """
    squares = jnp.sum(jnp.square(embeddings), axis=-1, keepdims=True)
    unit = embeddings * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))
    logits = _gram(unit) / temperature
    # Rows without any candidate are masked out below; the finite stand-in keeps their gradient from being NaN.
    log_sum = jax.nn.logsumexp(jnp.where(positives | negatives, logits, -1e9), axis=-1, keepdims=True)
    count = jnp.sum(positives, axis=-1, dtype=logits.dtype)
    loss = jnp.sum(jnp.where(positives, log_sum - logits, 0.0), axis=-1) / jnp.maximum(count, 1.0)
    return jnp.sum(loss) / jnp.maximum(jnp.sum(count > 0, dtype=logits.dtype), 1.0)


def appearance_contrast(appearance: Float[Array, "b t a"], temperature: Scalar) -> Float[Array, ""]:
    """Pull the frames of one clip together and push those of different clips apart.

    `info_nce` over all b*t frames: the positives are the other frames of the anchor's clip, the negatives all frames of
    other clips.
    """
    b, t, _ = appearance.shape
    clip, frame = _places(b, t)
    same_clip = _same(clip)
    positives = same_clip & ~_same(frame)
    return info_nce(appearance.reshape(b * t, -1), positives, ~same_clip, temperature)


def structure_contrast(
    structure: Float[Array, "b t s"],
    augmented: Float[Array, "b t s"],
    coefficients: Float[Array, "b t k"],
    temperature: Scalar,
    negatives: str,
    min_gap: Scalar,
) -> Float[Array, ""]:
    """Pull the two views of one frame together and push different frames apart.

    `info_nce` over all 2*b*t views, a frame and its augmented version: the positive is the other view of the anchor's
    frame, so the loss is symmetric in the views. `negatives` says which frames, in both views, are pushed away:

        "clip"   the other frames of the same clip. They show the same face, so identity cannot tell them apart.
        "batch"  the frames of other clips. Alone, they invite identity into the structure code.
        "both"   all of these.

    Frames that happen to show nearly the same structure would be false negatives. Those whose coefficients lie closer
    than `min_gap` to the anchor's are left out; the distance is the root mean square over directions, in units of the
    coefficients (population standard deviations).

    Args:
        structure: codes of the frames.
        augmented: codes of the same frames after an augmentation that keeps structure.
        coefficients: where each frame stands along the directions that move the clips.
        temperature: of the softmax.
        negatives: the policy above.
        min_gap: smallest distance of a negative; 0 keeps them all.
    """
    b, t, k = coefficients.shape
    # The views lie beside the frames, behind the clips: a batch sharded over clips stays where it is.
    views = jnp.stack([structure, augmented], axis=1).reshape(2 * b * t, -1)
    clip, frame = _places(b, 2 * t)
    same_clip, same_frame = _same(clip), _same(clip) & _same(frame % t)
    candidates = {"clip": same_clip, "batch": ~same_clip, "both": jnp.ones_like(same_clip)}
    if negatives not in candidates:
        raise ValueError(f"negatives must be one of {', '.join(candidates)}; got {negatives!r}")
    gaps = _squared_distances(jnp.stack([coefficients, coefficients], axis=1).reshape(2 * b * t, k)) / k
    far = gaps >= min_gap**2
    positives = same_frame & ~_same(frame)
    return info_nce(views, positives, candidates[negatives] & ~same_frame & far, temperature)


def _gram(x: Float[Array, "n c"]) -> Float[Array, "n n"]:
    """All inner products, in full precision: a temperature of 0.1 makes ten times of any rounding."""
    return jnp.matmul(x, x.T, precision=jax.lax.Precision.HIGHEST)


def _squared_distances(x: Float[Array, "n k"]) -> Float[Array, "n n"]:
    products = _gram(x)
    squares = jnp.diagonal(products)
    return jnp.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)


def _places(b: int, t: int):
    """Clip and place in the clip of each of b*t rows."""
    index = jnp.arange(b * t)
    return index // t, index % t


def _same(labels):
    return labels[:, None] == labels[None, :]
