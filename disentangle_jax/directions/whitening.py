"""Whitening: coordinates of w in which the latents of a generator have unit covariance."""

import numpy as np
from jaxtyping import Array, Float

_LEAST_VARIANCE = 1e-6  # relative to the largest: smaller ones are not blown up


def whitening(ws: Float[Array, "n l d"]) -> tuple[Float[np.ndarray, "d"], Float[np.ndarray, "d d"]]:
    """Mean of w [d], and the symmetric matrix [d, d] that gives w - mean unit covariance, over all layers.

    Axes along which w hardly varies keep less than unit variance: they are not blown up.
    """
    w = np.asarray(ws, np.float64).reshape(-1, ws.shape[2])
    variances, axes = np.linalg.eigh(np.cov(w.T))
    scale = 1.0 / np.sqrt(np.maximum(variances, _LEAST_VARIANCE * variances[-1]))
    return w.mean(0), (axes * scale) @ axes.T
