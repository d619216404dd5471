"""The losses: pure functions of arrays.

A contrast goes over all embeddings of the global batch: a batch sharded over devices gives the value and the gradient
that one device would. What counts as a positive and as a negative is said here, what is made of them in `contrast.py`.
Swapping needs no loss of its own: it is `reconstruction` of what was decoded from exchanged codes (see
`training/objective.py`).

Axes: b clips, t frames, a appearance, s structure, k directions, n embeddings, r of them as anchors.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from disentangle_jax.model.contrast import Scalar, contrast


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


def appearance_ratio(appearance: Float[Array, "b t a"]) -> Float[Array, ""]:
    """How far appearance codes drift within a clip, beside how far apart they lie: a ratio of variances.

        t / (t - 1) * mean_bt |x_bt - mean_t x_b|^2 / mean_bt |x_bt - mean_bt x|^2

    0 where the frames of a clip have one code, about 1 where codes do not depend on the clip; a shift or scale of all
    codes does not change it. It removes what the contrast leaves: where clips lie far apart, the contrast's excess
    over its minimum falls with the fourth power of the drift, so a small part of the code that follows the motion costs
    nothing; this ratio falls with the square.

    Args:
        appearance: codes of the frames of clips, of two frames at least.

    >>> still = jnp.array([[[0.0], [0.0]], [[2.0], [2.0]]])  # two clips of two frames
    >>> moving = still + jnp.array([[[-0.5], [0.5]]])
    >>> float(appearance_ratio(still))
    0.0
    >>> round(float(appearance_ratio(moving)), 4)  # 2 * 0.25 / (1 + 0.25)
    0.4
    """
    t = appearance.shape[1]
    if t < 2:
        raise ValueError(f"a ratio of variances needs clips of at least 2 frames; these have {t}")
    centre = jnp.mean(appearance, axis=1, keepdims=True)
    within = jnp.sum(jnp.square(appearance - centre)) * (t / (t - 1))
    # Deviations sum to 0, and so does the gradient by their mean: devices need not exchange it.
    mean = jax.lax.stop_gradient(jnp.mean(centre, axis=0, keepdims=True))
    total = jnp.sum(jnp.square(appearance - mean))
    return within / jnp.maximum(total, jnp.finfo(total.dtype).tiny)


class Places(NamedTuple):
    """Where embeddings come from: what makes two of them a pair."""

    clip: Int[Array, "n"]
    frame: Int[Array, "n"]
    view: Int[Array, "n"]  # of the frame: itself or its augmented version
    coefficients: Float[Array, "n k"]  # where they stand along the directions; k is 0 where that is of no matter


def appearance_contrast(
    appearance: Float[Array, "b t a"], temperature: Scalar, form: str, block_size: int
) -> Float[Array, ""]:
    """Pull the frames of one clip together and push those of different clips apart.

    A contrast over all b*t frames: the positives are the other frames of the anchor's clip, the negatives all frames
    of other clips.

    Args:
        appearance: codes of the frames.
        temperature: of the similarities.
        form: of the contrast; see `contrast.py`.
        block_size: how many anchors to treat at a time; 0 treats them all at once.
    """
    b, t, _ = appearance.shape
    places = _places(jnp.zeros((b, 1, t, 0)))
    return contrast(appearance.reshape(b * t, -1), _face_pairs, places, temperature, form, block_size)


def structure_contrast(
    structure: Float[Array, "b t s"],
    augmented: Float[Array, "b t s"],
    coefficients: Float[Array, "b t k"],
    temperature: Scalar,
    form: str,
    block_size: int,
    negatives: str,
    min_gap: float,
) -> Float[Array, ""]:
    """Pull the two views of one frame together and push different frames apart.

    A contrast over all 2*b*t views, a frame and its augmented version: the positive is the other view of the anchor's
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
        temperature: of the similarities.
        form: of the contrast; see `contrast.py`.
        block_size: how many anchors to treat at a time; 0 treats them all at once.
        negatives: the policy above.
        min_gap: smallest distance of a negative; 0 keeps them all.
    """
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives must be one of {', '.join(NEGATIVES)}; got {negatives!r}")
    b, t, s = structure.shape
    # The views lie beside the frames, behind the clips: a batch sharded over clips stays where it is.
    views = jnp.stack([structure, augmented], axis=1).reshape(2 * b * t, s)
    places = _places(jnp.stack([coefficients, coefficients], axis=1))
    return contrast(views, partial(_frame_pairs, negatives, min_gap), places, temperature, form, block_size)


NEGATIVES = ("clip", "batch", "both")
"""The policies of `structure_contrast`."""


def _face_pairs(one: Places, other: Places) -> tuple[Bool[Array, "r n"], Bool[Array, "r n"]]:
    same_clip = _same(one.clip, other.clip)
    return same_clip & ~_same(one.frame, other.frame), ~same_clip


def _frame_pairs(
    negatives: str, min_gap: float, one: Places, other: Places
) -> tuple[Bool[Array, "r n"], Bool[Array, "r n"]]:
    same_clip = _same(one.clip, other.clip)
    same_frame = same_clip & _same(one.frame, other.frame)
    among = {"clip": same_clip, "batch": ~same_clip, "both": jnp.ones_like(same_clip)}[negatives]
    far = _mean_squared_distances(one.coefficients, other.coefficients) >= min_gap**2
    return same_frame & ~_same(one.view, other.view), among & ~same_frame & far


def _mean_squared_distances(x: Float[Array, "r k"], y: Float[Array, "n k"]) -> Float[Array, "r n"]:
    """mean_k (x_rk - y_nk)^2, by products, so that no array of r x n x k is needed."""
    squares = jnp.sum(jnp.square(x), axis=1)[:, None] + jnp.sum(jnp.square(y), axis=1)[None, :]
    products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(squares - 2 * products, 0.0) / x.shape[1]


def _places(coefficients: Float[Array, "b views t k"]) -> Places:
    """Those of the embeddings of b clips of t frames in one view or two, with these coefficients."""
    *shape, k = coefficients.shape
    # Constants: XLA would spread a computation of them over the devices and gather the outcome.
    clip, view, frame = (jnp.asarray(index.reshape(-1)) for index in np.indices(shape, np.int32))
    return Places(clip, frame, view, coefficients.reshape(len(clip), k))


def _same(labels: Int[Array, "r"], others: Int[Array, "n"]) -> Bool[Array, "r n"]:
    return labels[:, None] == others[None, :]
