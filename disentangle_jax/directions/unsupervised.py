"""Directions that need no labels: SeFa, GANSpace and random ones, all along axes of w, alike in a range of layers."""

from collections.abc import Iterable, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax.directions.directions import Directions, biorthogonal, checked_layers, in_layers
from stylegan2_flax.frechet import FeatureStatistics


def from_axes(
    axes: Float[np.ndarray, "k d"], ws: Float[Array, "n l d"], layers: tuple[int, int], names: Sequence[str]
) -> Directions:
    """Directions along axes of w, the same in every layer from first to last, calibrated to the spread of ws."""
    vectors = in_layers(np.asarray(axes), layers, ws.shape[1])
    return biorthogonal(vectors, vectors, ws, names)


def sefa(generator: sg2.Generator, ws: Float[Array, "n l d"], layers: tuple[int, int], k: int) -> Directions:
    """SeFa (Shen and Zhou 2021, arXiv:2007.06600): the axes of w that change the styles of a range of layers most.

    They are the eigenvectors of A^T A with the largest eigenvalues, where A stacks the layers' style weights with rows
    normalised to length 1. Where a convolution and a ToRGB share a w, the convolution's weights are taken; the last w
    belongs to a ToRGB alone.
    """
    first, last = checked_layers(layers, generator.num_ws)
    weights = {row: np.asarray(layer.affine.weight[...]) for _, row, layer in generator.synthesis.styled_layers()}
    a = np.concatenate([weights[row] for row in range(first, last + 1)])
    _, _, axes = np.linalg.svd(a / np.linalg.norm(a, axis=1, keepdims=True), full_matrices=False)
    return from_axes(_first(axes, k), ws, layers, [f"sefa_{i}" for i in range(k)])


def pca(
    batches: Iterable[Float[Array, "_ d"]], ws: Float[Array, "n l d"], layers: tuple[int, int], k: int
) -> Directions:
    """GANSpace (Harkonen et al. 2020, arXiv:2004.02546): principal axes of many w, applied to a range of layers.

    Any number of batches of w may be given: only their moments are kept.
    """
    _, axes = np.linalg.eigh(covariance(batches))
    return from_axes(_first(axes[:, ::-1].T, k), ws, layers, [f"pca_{i}" for i in range(k)])


def random(key: PRNGKeyArray, ws: Float[Array, "n l d"], layers: tuple[int, int], k: int) -> Directions:
    """Random orthonormal axes, uniformly distributed: the control for every other source."""
    axes, _ = np.linalg.qr(np.asarray(jax.random.normal(key, (ws.shape[2], k)), np.float64))
    return from_axes(_first(axes.T, k), ws, layers, [f"random_{i}" for i in range(k)])


def covariance(batches: Iterable[Float[Array, "_ d"]]) -> Float[np.ndarray, "d d"]:
    """The covariance of all rows of the batches, in float64. Raises ValueError for fewer than two rows."""
    statistics = None
    for batch in batches:
        statistics = statistics or FeatureStatistics(batch.shape[1])
        statistics.add(batch)
    if statistics is None or statistics.count < 2:
        raise ValueError("principal axes need at least two samples: raise directions.pca_samples")
    return statistics.covariance


def _first(axes: Float[np.ndarray, "m d"], k: int) -> Float[np.ndarray, "k d"]:
    if not 0 < k <= len(axes):
        raise ValueError(f"{k} directions were asked for: there are between 1 and {len(axes)} axes here")
    return axes[:k]
