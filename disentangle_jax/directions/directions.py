"""Directions in W+: one class for all ways to find them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.generators import digest
from stylegan2_flax.files import AnyPath

SPACE = "W+"
"""The latent space of all directions here, as their files name it."""

_ALIKE = 1e-3  # how far vectors of two layers may differ and still count as one, beside their length
_MAX_CONDITION = 1e6  # of the Gram matrix of unit vectors and readings; above it they count as linearly dependent


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Directions:
    """k directions with their coordinates, in standard deviations of the population.

    A latent's coordinate along direction i is <normals_i, ws - mean>. Adding vectors_i raises it by one and leaves the
    others as they are, for <normals_i, vectors_j> is 1 where i = j and 0 elsewhere.
    """

    vectors: Float[Array, "k l d"]
    normals: Float[Array, "k l d"]
    mean: Float[Array, "l d"]
    names: tuple[str, ...] = field(metadata={"static": True})
    source: str = field(default="unknown", metadata={"static": True})  # the method that found them
    generator: str = field(default="", metadata={"static": True})  # digest of their generator; "" if unknown

    def __repr__(self) -> str:
        k, num_ws, w_dim = self.vectors.shape
        of = f" of generator {self.generator}" if self.generator else ""
        return f"Directions({k} in W+ [{num_ws}, {w_dim}], by {self.source}{of}: {', '.join(self.names)})"

    def coordinates(self, ws: Float[Array, "... l d"]) -> Float[Array, "... k"]:
        """The latents' coordinates along each direction."""
        return jnp.einsum("kld,...ld->...k", self.normals, ws - self.mean[(None,) * (ws.ndim - 2)])

    def move(self, ws: Float[Array, "... l d"], coefficients: Float[Array, "... k"]) -> Float[Array, "... l d"]:
        """The latents with their coordinates replaced, all else kept: the absolute form of an edit."""
        return ws + jnp.einsum("...k,kld->...ld", coefficients - self.coordinates(ws), self.vectors)

    def move_each_layer(
        self, ws: Float[Array, "... l d"], coefficients: Float[Array, "... k"]
    ) -> Float[Array, "... l d"]:
        """The latents with every layer moved to the same coordinates, whatever its own were.

        With v_i the vector of direction i, and n_i the sum of its normals over the layers, layer l becomes
        w_l + sum_i (coefficient_i - <n_i, w_l - mean_l>) v_i: each layer alone then has the coordinates that
        `coordinates` reads in all of them, so none keeps what the face had before, even if it was mixed from several.
        Layers that no direction moves stay as they are. `check_alike` says which directions this works for.
        """
        normals = jnp.sum(self.normals, axis=1)
        own = jnp.einsum("kd,...ld->...lk", normals, ws - self.mean[(None,) * (ws.ndim - 2)])
        return ws + jnp.einsum("...lk,kld->...ld", coefficients[..., None, :] - own, self.vectors)

    def check_alike(self) -> None:
        """Raise ValueError unless each direction is one vector of W, in all layers that any direction moves."""
        moved = np.asarray(self.vectors)[:, np.any(np.asarray(self.vectors), axis=(0, 2))]
        lengths = np.linalg.norm(moved[:, :1], axis=2, keepdims=True)
        if moved.size and np.any(np.linalg.norm(moved - moved[:, :1], axis=2, keepdims=True) > _ALIKE * lengths):
            raise ValueError(
                "these directions differ from layer to layer, so no layer can be moved along them alone: find them on "
                "faces that are not mixed, with directions.style_mixing=0, or move layers together, with "
                "clips.layers='together'"
            )

    def select(self, indices: Sequence[int]) -> "Directions":
        """The directions with these indices, in this order."""
        rows = np.asarray(indices, np.int32)
        names = tuple(self.names[i] for i in indices)
        return replace(self, vectors=self.vectors[rows], normals=self.normals[rows], names=names)

    def of(self, names: Sequence[str]) -> "Directions":
        """The directions with these names, in this order. Raises ValueError if one is missing."""
        if missing := [name for name in names if name not in self.names]:
            raise ValueError(f"there is no direction of {', '.join(missing)} among {', '.join(self.names)}")
        return self.select([self.names.index(name) for name in names])

    def check(self, generator: sg2.Generator) -> None:
        """Raises ValueError if the directions do not fit the generator, or are known to belong to another."""
        expected = (generator.num_ws, generator.w_dim)
        if self.mean.shape != expected:
            raise ValueError(f"directions are of W+ {self.mean.shape}, the generator's is {expected}")
        if self.generator and self.generator != (own := digest(generator)):
            raise ValueError(
                f"directions are of another generator of the same size: its digest is {self.generator}, this one's is "
                f"{own}; find new ones, or give the generator that they were found for"
            )

    def save(self, path: AnyPath) -> None:
        """Write a safetensors file, whole or not at all.

        Its metadata hold the names, the source, the generator's digest, the space, the first and last layer that
        moves, and the scale: the length of one standard deviation along each direction.
        """
        values = {name: np.asarray(getattr(self, name)) for name in ("vectors", "normals", "mean")}
        lengths = np.linalg.norm(values["vectors"], axis=2)
        moved = np.flatnonzero(lengths.any(axis=0))
        about = {
            "names": self.names,
            "source": self.source,
            "generator": self.generator,
            "space": SPACE,
            "layers": [int(moved[0]), int(moved[-1])] if len(moved) else [],
            "scale": [round(float(length), 6) for length in np.linalg.norm(lengths, axis=1)],
        }
        arrays.save(path, values, directions=about)

    @classmethod
    def load(cls, path: AnyPath) -> "Directions":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or holds something else.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no directions at {path}: copy them from where the model was trained")
        values, about = arrays.load(path, "directions")
        if not isinstance(about, dict):  # a bare list of names, as the first version wrote it
            about = {"names": about, "source": "unknown", "generator": "", "space": SPACE}
        if about["space"] != SPACE:
            raise ValueError(f"{path} holds directions of the space {about['space']}; latents here are of {SPACE}")
        k, mean = len(about["names"]), values.get("mean", np.zeros(0))
        num_ws, d = mean.shape if mean.ndim == 2 else (0, 0)
        shapes = {"vectors": (k, num_ws, d), "normals": (k, num_ws, d), "mean": (num_ws, d)}
        arrays.check(path, values, shapes, f"{k} directions")
        names = tuple(about["names"])
        loaded = {name: jnp.asarray(value) for name, value in values.items()}
        return cls(**loaded, names=names, source=about["source"], generator=about["generator"])


def biorthogonal(
    vectors: Float[np.ndarray, "k l d"],
    readings: Float[np.ndarray, "k l d"],
    ws: Float[Array, "n l d"],
    names: Sequence[str],
) -> Directions:
    """Directions along given vectors, of any length, calibrated to the spread of ws.

    The normals are those combinations of the readings that tell the vectors apart: (R V^T)^-1 R. Where the readings
    are the vectors themselves this is the dual basis.

    Raises:
        ValueError: a vector or reading is 0 or not finite, some vectors depend on each other, or ws do not vary along
            one of them.
    """
    v, r = (np.asarray(x, np.float64).reshape(len(names), -1) for x in (vectors, readings))
    with np.errstate(divide="ignore", invalid="ignore"):
        v, r = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (v, r))
    bad = [name for name, fine in zip(names, np.isfinite(v).all(1) & np.isfinite(r).all(1), strict=True) if not fine]
    if bad:
        raise ValueError(f"no direction can be made of {', '.join(bad)}: its numbers are all 0, or not finite")
    if np.linalg.cond(r @ v.T) > _MAX_CONDITION:
        raise ValueError(f"the directions {', '.join(names)} depend on each other: leave some of them out")
    normals = np.linalg.solve(r @ v.T, r)
    mean = np.asarray(ws.mean(0))
    deviation = (np.asarray(ws).reshape(len(ws), -1) @ normals.T.astype(np.float32)).std(0)[:, None]
    still = [name for name, value in zip(names, deviation[:, 0], strict=True) if not value > 0.0]
    if still:
        raise ValueError(f"latents do not vary along {', '.join(still)}, so it has no scale")
    shape = (len(names), *mean.shape)
    return Directions(
        vectors=jnp.asarray((v * deviation).reshape(shape), jnp.float32),
        normals=jnp.asarray((normals / deviation).reshape(shape), jnp.float32),
        mean=jnp.asarray(mean, jnp.float32),
        names=tuple(names),
    )


def in_layers(axes: Float[np.ndarray, "k d"], layers: tuple[int, int], num_ws: int) -> Float[np.ndarray, "k l d"]:
    """Vectors of W+ that are the same in every layer from first to last, and 0 elsewhere.

    Raises ValueError unless the layers lie within the generator's.
    """
    first, last = checked_layers(layers, num_ws)
    vectors = np.zeros((len(axes), num_ws, axes.shape[1]))
    vectors[:, first : last + 1] = axes[:, None]
    return vectors


def checked_layers(layers: tuple[int, int], num_ws: int) -> tuple[int, int]:
    """First and last layer; ValueError unless they lie within the generator's."""
    first, last = layers
    if not 0 <= first <= last < num_ws:
        raise ValueError(f"layers {tuple(layers)} do not lie within the generator's 0 to {num_ws - 1}")
    return first, last
