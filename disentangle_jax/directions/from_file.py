"""Directions from the user's files: arrays, optionally with the space and the generator that they belong to."""

from pathlib import Path

import numpy as np
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.directions.directions import SPACE, Directions, biorthogonal, in_layers
from disentangle_jax.generators import digest
from stylegan2_flax.files import AnyPath, as_path, local_copy

_ARRAY = "directions"  # name of the array in a file with several
_SPACES = ("W", SPACE)


def read_directions(
    path: str | AnyPath, generator: sg2.Generator, ws: Float[Array, "n l d"], layers: tuple[int, int]
) -> Directions:
    """Read a file of `Directions.save`, or an array of shape [d], [1, d], [l, d] or [k, l, d].

    An array is calibrated to the spread of ws. One of shape [d] or [1, d] (as InterFaceGAN writes it) moves all layers
    from the first to the last of `layers` alike. Optional entries are strings in an .npz file, or metadata of a
    .safetensors file: "space" and "generator" (a digest) are checked, "names" (separated by commas) become the names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is of another type, shape, space or generator, or its vectors make no
            directions.
    """
    path = as_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of directions at {path}")
    with local_copy(path) as local:
        return _read(local, generator, ws, layers)


def _read(path: Path, generator: sg2.Generator, ws: Float[Array, "n l d"], layers: tuple[int, int]) -> Directions:
    if path.suffix.lower() not in arrays.SUFFIXES:
        raise ValueError(f"{path}: directions are read from {', '.join(arrays.SUFFIXES)} files")
    content = arrays.read(path)
    if "directions" in content.texts:
        directions = Directions.load(path)
        directions.check(generator)
        return directions
    _check_compatible(path, content.texts, generator)
    vectors = _vectors(path, arrays.only(path, content.arrays, _ARRAY, "directions"), generator, layers)
    names = [name.strip() for name in content.texts.get("names", "").split(",") if name.strip()]
    names = names or [path.stem if len(vectors) == 1 else f"{path.stem}_{i}" for i in range(len(vectors))]
    if len(set(names)) != len(vectors):
        raise ValueError(f"{path} holds {len(vectors)} directions, but as names {', '.join(names)}")
    try:
        return biorthogonal(vectors, vectors, ws, names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_compatible(path: Path, about: dict[str, str], generator: sg2.Generator) -> None:
    space = about.get("space", SPACE)
    if space.upper() not in _SPACES:
        raise ValueError(
            f"{path} holds directions of the space {space}; latents here are of {SPACE}, and only directions of "
            f"{' or '.join(_SPACES)} can move them"
        )
    theirs, own = about.get("generator", ""), digest(generator)
    if theirs and theirs != own:
        raise ValueError(f"{path} holds directions of the generator {theirs}; the digest of this one is {own}")


def _vectors(
    path: Path, array: np.ndarray, generator: sg2.Generator, layers: tuple[int, int]
) -> Float[np.ndarray, "k l d"]:
    num_ws, w_dim = generator.num_ws, generator.w_dim
    if array.shape in ((w_dim,), (1, w_dim)):
        return in_layers(array.reshape(1, w_dim), layers, num_ws)
    if array.ndim not in (2, 3) or array.shape[-2:] != (num_ws, w_dim) or 0 in array.shape:
        shapes = f"[{w_dim}], [{num_ws}, {w_dim}] or [directions, {num_ws}, {w_dim}]"
        raise ValueError(f"{path} holds an array of shape {list(array.shape)}; directions of this generator: {shapes}")
    return np.asarray(array, np.float64).reshape(-1, num_ws, w_dim)
