"""Retrieval: whether the nearest code belongs to the same face, or to the same moment of a motion.

Both galleries hold hard negatives, because any code can tell apart faces in different poses, or moments far apart.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float


class Recall(NamedTuple):
    """R@1.

    Attributes:
        recall: share of queries whose nearest neighbour is correct.
        chance: the share that guessing would give.
    """

    recall: float
    chance: float


def same_face(codes: Float[Array | np.ndarray, "n t a"]) -> Recall:
    """R@1 of the face, from appearance codes of n faces that all go through the same motion of t frames.

    Query: face i at time t. Gallery: face i half a clip later, and every other face at time t, so that a code that
    holds the pose finds another face. Chance is 1/n.

    Raises:
        ValueError: there are fewer than two faces or two frames.
    """
    unit = _unit(codes)
    n, num_frames, _ = unit.shape
    similarity = np.einsum("ita,jta->tij", unit, unit)
    later = np.roll(unit, num_frames // 2, axis=1)
    similarity[:, np.arange(n), np.arange(n)] = np.einsum("ita,ita->ti", unit, later)
    return Recall(float(np.mean(similarity.argmax(axis=2) == np.arange(n)[None, :])), 1.0 / n)


def same_motion(codes: Float[Array | np.ndarray, "n t s"]) -> Recall:
    """R@1 of the moment, from structure codes of n faces that all go through the same motion of t frames.

    Query: face i at time t. Gallery: all frames of face i + 1. Chance is 1/t.

    Raises:
        ValueError: there are fewer than two faces or two frames.
    """
    unit = _unit(codes)
    num_frames = unit.shape[1]
    similarity = np.einsum("its,ius->itu", unit, np.roll(unit, -1, axis=0))
    return Recall(float(np.mean(similarity.argmax(axis=2) == np.arange(num_frames)[None, :])), 1.0 / num_frames)


def _unit(codes: Float[Array | np.ndarray, "n t c"]) -> Float[np.ndarray, "n t _"]:
    """Codes minus their mean over all faces and frames, scaled to length 1: their inner products are cosines.

    Of a single number that would leave the sign. It becomes an angle, so that cosines fall with the distance.
    """
    if codes.shape[0] < 2 or codes.shape[1] < 2:
        raise ValueError(f"retrieval needs at least two faces and two frames; got codes of shape {codes.shape}")
    values = np.asarray(codes, np.float64)
    if values.shape[-1] == 1:
        angles = values * (np.pi / max(np.ptp(values), 1e-12))
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)
    values = values - values.mean(axis=(0, 1), keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
