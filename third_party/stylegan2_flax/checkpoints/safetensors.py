"""This package's own format: a safetensors file of the state dict, with the generator's arguments in its metadata."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from stylegan2_flax.checkpoints.state_dict import from_state_dict, to_state_dict
from stylegan2_flax.networks import Generator

FORMAT = "stylegan2_flax"


def save(
    generator: Generator,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Writes a generator to a file, whole or not at all.

    metadata: further entries of the file's header. dtype: float16 halves the file and rounds the weights, once: a
    generator loaded from it and saved again gives the same values. Raises ValueError where a weight exceeds float16.
    """
    own = {"format": FORMAT, "kind": "generator", "init_kwargs": json.dumps(generator.init_kwargs)}
    if clash := sorted(own.keys() & (metadata or {}).keys()):
        raise ValueError(f"metadata must not use the format's own entries: {', '.join(clash)}")
    arrays = {name: _cast(name, array, dtype) for name, array in to_state_dict(generator).items()}
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(serialize(arrays, {**own, **(metadata or {})}))
    partial.replace(path)


def load(path: str | os.PathLike[str]) -> Generator:
    """Reads a generator that `save` wrote; weights become float32.

    Raises FileNotFoundError, or ValueError for a damaged file, one of another format, or weights that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no generator at {path}: there is no such file")
    metadata, arrays = _read(path)
    if metadata.get("format") != FORMAT or metadata.get("kind") != "generator":
        raise ValueError(f"{path} is a safetensors file, but not one that stylegan2_flax.save wrote for a generator")
    try:
        return from_state_dict(arrays, **json.loads(metadata["init_kwargs"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe a generator: {error}") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file, perhaps cut short: {error}") from error


def _cast(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype must be float32 or float16, got {dtype!r}")
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if not np.array_equal(np.isfinite(cast), np.isfinite(array)):
        raise ValueError(f"{name} holds values beyond the range of {dtype}: save with dtype='float32'")
    return cast
