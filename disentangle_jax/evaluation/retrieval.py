"""Retrieval: does the nearest code belong to the right face, or to the right moment of a motion?

Both galleries are hard on purpose: easy ones (other faces in other poses, moments far apart) are solved by any code.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float


class Recall(NamedTuple):
    """Share of queries whose nearest neighbour is right, and the share that guessing would get."""

    recall: float
    chance: float


def same_face(codes: Float[Array | np.ndarray, "n t a"]) -> Recall:
    """R@1 of the face, from appearance codes of n faces that all make the same motion of t frames.

    Query: face i at time t. Gallery: face i half a clip away, and every other face at the query's own time, so that
    whoever goes by the pose finds an impostor. Chance 1/n.
    """
    unit = _unit(codes)
    n, num_frames, _ = unit.shape
    if n < 2 or num_frames < 2:
        raise ValueError(f"retrieval needs at least two faces and two frames; got codes of shape {unit.shape}")
    similarity = np.einsum("ita,jta->tij", unit, unit)
    away = np.roll(unit, num_frames // 2, axis=1)
    similarity[:, np.arange(n), np.arange(n)] = np.einsum("ita,ita->ti", unit, away)
    return Recall(float(np.mean(similarity.argmax(axis=2) == np.arange(n)[None, :])), 1.0 / n)


def same_motion(codes: Float[Array | np.ndarray, "n t s"]) -> Recall:
    """R@1 of the moment, from structure codes of n faces that all make the same motion of t frames.

    Query: face i at time t. Gallery: all frames of the next face, the neighbouring moments among them. Chance 1/t.
    """
    unit = _unit(codes)
    n, num_frames, _ = unit.shape
    if n < 2 or num_frames < 2:
        raise ValueError(f"retrieval needs at least two faces and two frames; got codes of shape {unit.shape}")
    similarity = np.einsum("its,ius->itu", unit, np.roll(unit, -1, axis=0))
    return Recall(float(np.mean(similarity.argmax(axis=2) == np.arange(num_frames)[None, :])), 1.0 / num_frames)


def _unit(codes: Array | np.ndarray) -> np.ndarray:
    """Codes centred on their common mean and of length one, so that the product of two is their cosine."""
    values = np.asarray(codes, np.float64)
    values = values - values.mean(axis=(0, 1), keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
