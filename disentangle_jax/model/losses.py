"""The losses of the autoencoder: pure functions of arrays.

Contrasts are computed over the global batch: if it is sharded over devices, values and gradients are those of one
device. This module defines positives and negatives, and `contrast.py` the loss. Swaps have no loss function of their
own: they are `reconstruction` losses of latents decoded from exchanged codes (see `training/objective.py`).

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
    """Mean squared error of standardized latents: mean(((predicted - ws) / std)^2).

    Predicting the mean latent has a loss of 1.

    Args:
        predicted: decoded latents.
        ws: the true latents.
        std: standard deviation of the latents.

    Returns:
        The loss, a scalar.

    >>> ws = jnp.array([[[3.0, -1.0]], [[1.0, 3.0]]])  # two latents of one layer: mean (2, 1), std (1, 2)
    >>> float(reconstruction(jnp.tile(ws.mean(0), (2, 1, 1)), ws, ws.std(0)))
    1.0
    """
    return jnp.mean(jnp.square((predicted - ws) / jnp.broadcast_to(std, ws.shape)))


def squared_error(predicted: Float[Array, "*n"], target: Float[Array, "*n"]) -> Float[Array, ""]:
    """Mean squared error: mean((predicted - target)^2).

    Args:
        predicted: of decoded latents: their images in [-1, 1], or their factors as normal scores.
        target: the same of the true latents.

    Returns:
        The loss, a scalar.

    >>> float(squared_error(jnp.ones((1, 2, 2, 3)), jnp.zeros((1, 2, 2, 3))))
    1.0
    """
    return jnp.mean(jnp.square(predicted - target))


def appearance_ratio(appearance: Float[Array, "b t a"]) -> Float[Array, ""]:
    """The variance of appearance codes within clips, divided by their total variance:

        t / (t - 1) * mean_bt |x_bt - mean_t x_b|^2 / mean_bt |x_bt - mean_bt x|^2

    It is 0 if all frames of a clip have the same code, about 1 if codes do not depend on the clip, and invariant to
    shifts and scales of all codes. It complements the contrast: if clips are far apart, a small drift d within clips
    raises the contrast by O(d^4) only, and this ratio by O(d^2).

    Args:
        appearance: codes of the frames of clips; t is at least 2.

    Returns:
        The ratio, a scalar.

    Raises:
        ValueError: t is 1.

    >>> still = jnp.array([[[0.0], [0.0]], [[2.0], [2.0]]])  # two clips of two frames
    >>> moving = still + jnp.array([[[-0.5], [0.5]]])
    >>> float(appearance_ratio(still))
    0.0
    >>> round(float(appearance_ratio(moving)), 4)  # 2 * 0.25 / (1 + 0.25)
    0.4
    """
    if (t := appearance.shape[1]) < 2:
        raise ValueError(f"a ratio of variances needs clips of at least 2 frames; these have {t}")
    return _share_within(appearance)


def structure_ratio(structure: Float[Array, "b t s"], augmented: Float[Array, "b t s"]) -> Float[Array, ""]:
    """The variance of structure codes between the two views of a frame, divided by their total variance:

        2 * mean_btv |x_btv - mean_v x_bt|^2 / mean_btv |x_btv - mean_btv x|^2

    with x_bt1 the code of a frame, and x_bt2 that of its augmented version. It is 0 if both are alike, whatever face
    they show, and about 1 if codes do not depend on the structure. Without it a wide structure code tells of the face.

    Args:
        structure: codes of the frames of clips.
        augmented: codes of the same frames after an augmentation that keeps structure.

    Returns:
        The ratio, a scalar.

    >>> poses = jnp.array([[[0.0], [2.0]]])  # a clip of two frames
    >>> float(structure_ratio(poses, poses))
    0.0
    >>> round(float(structure_ratio(poses - 0.5, poses + 0.5)), 4)  # 2 * 0.25 / (1 + 0.25)
    0.4
    """
    b, t, s = structure.shape
    return _share_within(jnp.stack([structure, augmented], axis=2).reshape(b * t, 2, s))


def _share_within(codes: Float[Array, "n m c"]) -> Float[Array, ""]:
    """The variance within n groups of m codes, without bias, divided by the whole variance; 0 if there is none."""
    m = codes.shape[1]
    centre = jnp.mean(codes, axis=1, keepdims=True)
    within = jnp.sum(jnp.square(codes - centre)) * (m / (m - 1))
    # Deviations sum to 0, and so does the gradient by their mean: without it devices need no communication.
    mean = jax.lax.stop_gradient(jnp.mean(centre, axis=0, keepdims=True))
    total = jnp.sum(jnp.square(codes - mean))
    return within / jnp.maximum(total, jnp.finfo(total.dtype).tiny)


class FrameLabels(NamedTuple):
    """Which frame each embedding is of, to find positive and negative pairs."""

    clip: Int[Array, "n"]
    frame: Int[Array, "n"]
    view: Int[Array, "n"]  # 0 for the frame itself, 1 for its augmented version
    coefficients: Float[Array, "n k"]  # along the directions that move the clips; k is 0 if they are not needed


def appearance_contrast(
    appearance: Float[Array, "b t a"], temperature: Scalar, form: str, block_size: int
) -> Float[Array, ""]:
    """A contrast that pulls the frames of a clip together and pushes different clips apart.

    All b * t frames are anchors. Positives are the other frames of the anchor's clip, negatives the frames of all other
    clips. See `contrast.contrast` for the formula.

    Args:
        appearance: codes of the frames.
        temperature: divides the similarities.
        form: name of the form of the contrast; see `contrast_forms`.
        block_size: number of anchors to process at a time; 0 for all.

    Returns:
        The loss, a scalar.

    >>> codes = jnp.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])  # two clips of two frames
    >>> round(float(appearance_contrast(codes, 1.0, "supcon_out", 0)), 4)  # log(e^1 + 2 e^0) - 1
    0.5514
    """
    b, t, _ = appearance.shape
    labels = _frame_labels(jnp.zeros((b, 1, t, 0)))
    return contrast(appearance.reshape(b * t, -1), _appearance_pairs, labels, temperature, form, block_size)


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
    """A contrast that pulls the two views of a frame together and pushes different frames apart.

    All 2 * b * t views are anchors: each frame and its augmented version. The positive is the other view of the
    anchor's frame. `negatives` selects the frames, in both views, that are negatives:

        "batch"  the frames of other clips. Whatever looks an augmentation keeps leak into the structure code, so the
                 augmented frame should show another face.
        "clip"   the other frames of the same clip. They show the same face, so identity does not separate them.
        "both"   all of these.

    Frames with nearly the same structure would be false negatives. A frame is left out if the root mean square distance
    of its coefficients from the anchor's, over directions, is below `min_gap`. See `contrast.contrast` for the formula.

    Args:
        structure: codes of the frames.
        augmented: codes of the same frames after an augmentation that keeps structure.
        coefficients: coefficients of the frames along the directions that move the clips, in standard deviations.
        temperature: divides the similarities.
        form: name of the form of the contrast; see `contrast_forms`.
        block_size: number of anchors to process at a time; 0 for all.
        negatives: one of `NEGATIVES`.
        min_gap: smallest distance of a negative, in standard deviations; 0 for no limit.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: `negatives` is not one of `NEGATIVES`.

    >>> codes = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])  # one clip of two frames
    >>> poses = jnp.array([[[0.0], [1.0]]])
    >>> loss = structure_contrast(codes, codes, poses, 1.0, "supcon_out", 0, negatives="clip", min_gap=0.5)
    >>> round(float(loss), 4)  # log(e^1 + 2 e^0) - 1
    0.5514
    """
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives must be one of {', '.join(NEGATIVES)}; got {negatives!r}")
    b, t, s = structure.shape
    # The axis of views comes after that of clips, so a batch that is sharded over clips needs no communication.
    views = jnp.stack([structure, augmented], axis=1).reshape(2 * b * t, s)
    labels = _frame_labels(jnp.stack([coefficients, coefficients], axis=1))
    return contrast(views, partial(_structure_pairs, negatives, min_gap), labels, temperature, form, block_size)


NEGATIVES = ("batch", "clip", "both")
"""Choices of negatives in `structure_contrast`."""


def _appearance_pairs(one: FrameLabels, other: FrameLabels) -> tuple[Bool[Array, "r n"], Bool[Array, "r n"]]:
    same_clip = _same(one.clip, other.clip)
    return same_clip & ~_same(one.frame, other.frame), ~same_clip


def _structure_pairs(
    negatives: str, min_gap: float, one: FrameLabels, other: FrameLabels
) -> tuple[Bool[Array, "r n"], Bool[Array, "r n"]]:
    same_clip = _same(one.clip, other.clip)
    same_frame = same_clip & _same(one.frame, other.frame)
    among = {"clip": same_clip, "batch": ~same_clip, "both": jnp.ones_like(same_clip)}[negatives]
    far = _mean_squared_distances(one.coefficients, other.coefficients) >= min_gap**2
    return same_frame & ~_same(one.view, other.view), among & ~same_frame & far


def _mean_squared_distances(x: Float[Array, "r k"], y: Float[Array, "n k"]) -> Float[Array, "r n"]:
    """mean_k (x_rk - y_nk)^2, by a matrix product, which needs no array of r x n x k."""
    squares = jnp.sum(jnp.square(x), axis=1)[:, None] + jnp.sum(jnp.square(y), axis=1)[None, :]
    products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(squares - 2 * products, 0.0) / x.shape[1]


def _frame_labels(coefficients: Float[Array, "b views t k"]) -> FrameLabels:
    """Labels of the embeddings of b clips of t frames in one or two views."""
    *shape, k = coefficients.shape
    # Constants of NumPy: XLA would shard their computation over the devices, and gather them.
    clip, view, frame = (jnp.asarray(index.reshape(-1)) for index in np.indices(shape, np.int32))
    return FrameLabels(clip, frame, view, coefficients.reshape(len(clip), k))


def _same(labels: Int[Array, "r"], others: Int[Array, "n"]) -> Bool[Array, "r n"]:
    return labels[:, None] == others[None, :]
