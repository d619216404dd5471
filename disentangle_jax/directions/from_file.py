"""Directions in files of the user: arrays with, perhaps, a word on the space and the generator that they belong to."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float
from safetensors import SafetensorError, safe_open

import stylegan2_flax as sg2
from disentangle_jax.directions.directions import SPACE, Directions, biorthogonal, checked_layers, digest
from disentangle_jax.latents import DAMAGE

_SUFFIXES = (".safetensors", ".npy", ".npz")
_ARRAY = "directions"  # the array's name, where a file has several
_SPACES = ("W", SPACE)


class _Content(NamedTuple):
    arrays: dict[str, np.ndarray]
    about: dict[str, str]  # what the file says of itself


def read_directions(
    path: str | Path, generator: sg2.Generator, ws: Float[Array, "n l d"], layers: tuple[int, int]
) -> Directions:
    """Read directions that `Directions.save` wrote, or those in an array of shape [d], [l, d] or [k, l, d].

    An array is calibrated to the spread of ws; one of shape [d] (or [1, d], as InterFaceGAN writes it) moves the layers
    from first to last alike. A file may say more: entries "space" and "generator" (a digest) are checked, "names"
    (separated by commas) are taken over. They are strings in an .npz, or metadata of a .safetensors file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, of another type, shape, space or generator, or makes no directions.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of directions at {path}")
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path}: directions are read from {', '.join(_SUFFIXES)} files")
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_numpy(path)
    if "directions" in content.about:
        directions = Directions.load(path)
        directions.check(generator)
        return directions
    _check_origin(path, content.about, generator)
    vectors = _vectors(path, content.arrays, generator, layers)
    names = [name.strip() for name in content.about.get("names", "").split(",") if name.strip()]
    names = names or [path.stem if len(vectors) == 1 else f"{path.stem}_{i}" for i in range(len(vectors))]
    if len(set(names)) != len(vectors):
        raise ValueError(f"{path} holds {len(vectors)} directions, but as names {', '.join(names)}")
    try:
        return biorthogonal(vectors, vectors, ws, names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_origin(path: Path, about: dict[str, str], generator: sg2.Generator) -> None:
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
    path: Path, arrays: dict[str, np.ndarray], generator: sg2.Generator, layers: tuple[int, int]
) -> Float[np.ndarray, "k l d"]:
    if len(arrays) != 1 and _ARRAY not in arrays:
        raise ValueError(f"{path} holds {len(arrays)} arrays, but none named {_ARRAY}; which is it?")
    array = arrays[_ARRAY] if _ARRAY in arrays else next(iter(arrays.values()))
    num_ws, w_dim = generator.num_ws, generator.w_dim
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {array.dtype} values; directions are real numbers")
    if array.shape in ((w_dim,), (1, w_dim)):
        first, last = checked_layers(layers, num_ws)
        vectors = np.zeros((1, num_ws, w_dim))
        vectors[:, first : last + 1] = array.reshape(w_dim)
        return vectors
    if array.ndim not in (2, 3) or array.shape[-2:] != (num_ws, w_dim) or 0 in array.shape:
        shapes = f"[{w_dim}], [{num_ws}, {w_dim}] or [directions, {num_ws}, {w_dim}]"
        raise ValueError(f"{path} holds an array of shape {list(array.shape)}; directions of this generator: {shapes}")
    return np.asarray(array, np.float64).reshape(-1, num_ws, w_dim)


def _read_safetensors(path: Path) -> _Content:
    try:
        with safe_open(path, framework="numpy") as file:
            return _Content({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118, not a dict
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error})") from None


def _read_numpy(path: Path) -> _Content:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            entries = {_ARRAY: content} if isinstance(content, np.ndarray) else dict(content)
    except DAMAGE as error:
        raise ValueError(f"{path} is no .npy or .npz file, or is damaged or cut short ({error})") from None
    words = {name: ",".join(map(str, entry.reshape(-1))) for name, entry in entries.items() if entry.dtype.kind == "U"}
    return _Content({name: entry for name, entry in entries.items() if name not in words}, words)
