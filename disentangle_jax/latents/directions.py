"""Directions in W+ that move structure: one interface, whatever found them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax import arrays


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Directions:
    """k directions with their coordinates, in standard deviations of the population.

    A latent's coordinate along direction i is <normals_i, ws - mean>. Adding vectors_i raises it by one and leaves the
    others as they are, for <normals_i, vectors_j> is 1 where i = j and 0 elsewhere.
    """

    vectors: Float[Array, "k l d"]
    normals: Float[Array, "k l d"]
    mean: Float[Array, "l d"]
    names: tuple[str, ...] = field(metadata={"static": True})

    def coordinates(self, ws: Float[Array, "... l d"]) -> Float[Array, "... k"]:
        """Where latents lie along each direction."""
        return jnp.einsum("kld,...ld->...k", self.normals, ws - self.mean[(None,) * (ws.ndim - 2)])

    def move(self, ws: Float[Array, "... l d"], coefficients: Float[Array, "... k"]) -> Float[Array, "... l d"]:
        """The latents with their coordinates replaced, all else kept: the absolute form of an edit."""
        return ws + jnp.einsum("...k,kld->...ld", coefficients - self.coordinates(ws), self.vectors)

    def save(self, path: Path) -> None:
        """Write the arrays and names as safetensors, whole or not at all."""
        values = {name: np.asarray(getattr(self, name)) for name in ("vectors", "normals", "mean")}
        arrays.save(path, values, directions=self.names)

    @classmethod
    def load(cls, path: Path) -> "Directions":
        """Read what `save` wrote.

        Raises:
            ValueError: the file is damaged or holds something else.
        """
        values, names = arrays.load(path, "directions")
        return cls(**{name: jnp.asarray(value) for name, value in values.items()}, names=tuple(names))


def from_scores(
    ws: Float[Array, "n l d"], scores: Float[Array, "n f"], names: Sequence[str], wanted: Sequence[str], ridge: float
) -> Directions:
    """Directions that change one score each and leave all others, by ridge regression of scores on latents.

    The normals N are the regression's weights. Among all moves with N delta = e_i the one most probable under the
    latents' own covariance S is column i of S N^T (N S N^T)^-1. Conditioning on every score, wanted or not, is what
    keeps a smile from dragging the hair along: plain normals are impure.

    Args:
        ws: latents, better style-mixed, so that the layers can be told apart.
        scores: readings of the images of ws, one column a name.
        names: what the columns are.
        wanted: the names to make directions of.
        ridge: penalty, relative to the mean variance of a latent's entries times n.
    """
    n, num_ws, w_dim = ws.shape
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(f"no scores for {', '.join(unknown)}: the scorer reads {', '.join(names)}")
    mean = ws.mean(0)
    x = np.asarray(ws - mean[None], np.float64).reshape(n, num_ws * w_dim)
    y = np.asarray(scores, np.float64)
    covariance = x.T @ x / n
    penalty = ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    normals = np.linalg.solve(covariance + penalty, x.T @ (y - y.mean(0)) / n).T
    moved = covariance @ normals.T
    vectors = np.linalg.solve(normals @ moved, moved.T)
    deviation = np.sqrt(np.diag(normals @ moved))[:, None]
    rows = [list(names).index(name) for name in wanted]
    shape = (len(rows), num_ws, w_dim)
    return Directions(
        vectors=jnp.asarray((vectors * deviation)[rows].reshape(shape), jnp.float32),
        normals=jnp.asarray((normals / deviation)[rows].reshape(shape), jnp.float32),
        mean=jnp.asarray(mean, jnp.float32),
        names=tuple(wanted),
    )


def from_axes(
    axes: Float[Array, "k d"], ws: Float[Array, "n l d"], layers: tuple[int, int], names: Sequence[str]
) -> Directions:
    """Directions along orthonormal axes of w, alike in the layers first to last, scaled to the spread of ws."""
    first, last = layers
    if not 0 <= first <= last < ws.shape[1]:
        raise ValueError(f"layers {layers} do not lie within the generator's 0 to {ws.shape[1] - 1}")
    mask = np.zeros(ws.shape[1], np.float32)
    mask[first : last + 1] = 1.0 / np.sqrt(last + 1 - first)
    unit = np.asarray(axes, np.float32)[:, None, :] * mask[None, :, None]
    mean = np.asarray(ws.mean(0))
    deviation = np.einsum("kld,nld->nk", unit, np.asarray(ws) - mean[None]).std(0)[:, None, None]
    return Directions(jnp.asarray(unit * deviation), jnp.asarray(unit / deviation), jnp.asarray(mean), tuple(names))


def sefa(generator: sg2.Generator, ws: Float[Array, "n l d"], layers: tuple[int, int], k: int) -> Directions:
    """SeFa (Shen and Zhou 2021): the right singular vectors of the stacked style weights of a range of layers."""
    first, last = layers
    weights = np.concatenate(_style_weights(generator)[first : last + 1])
    _, _, vt = np.linalg.svd(weights / np.linalg.norm(weights, axis=1, keepdims=True), full_matrices=False)
    return from_axes(jnp.asarray(vt[:k]), ws, layers, [f"sefa_{i}" for i in range(k)])


def pca(w: Float[Array, "m d"], ws: Float[Array, "n l d"], layers: tuple[int, int], k: int) -> Directions:
    """GANSpace (Harkonen et al. 2020): principal axes of many w, applied to a range of layers."""
    _, vectors = np.linalg.eigh(np.cov(np.asarray(w, np.float64).T))
    return from_axes(jnp.asarray(vectors[:, ::-1][:, :k].T, jnp.float32), ws, layers, [f"pca_{i}" for i in range(k)])


def _style_weights(generator: sg2.Generator) -> list[np.ndarray]:
    """The affine weights [i, d] of the convolution that takes each w; the last w, of ToRGB alone, has ToRGB's."""
    weights = []
    for resolution in generator.synthesis.resolutions:
        block = getattr(generator.synthesis, f"b{resolution}")
        convs = [block.conv1] if resolution == 4 else [block.conv0, block.conv1]
        weights += [np.asarray(conv.affine.weight[...]) for conv in convs]
    return [*weights, np.asarray(block.torgb.affine.weight[...])]
