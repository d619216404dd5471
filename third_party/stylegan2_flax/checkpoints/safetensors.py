"""This package's own format: a safetensors file of the state dict, with the network's arguments in its metadata."""

import json
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as deserialize
from safetensors.numpy import save as serialize

from stylegan2_flax.checkpoints.network_data import CheckpointError, NetworkData
from stylegan2_flax.checkpoints.state_dict import to_state_dict
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.files import atomic
from stylegan2_flax.generator import Generator

FORMAT = "stylegan2_flax"
MAX_HEADER = 2**21
"""The most bytes of a header. A network of 1024 px has about 200 arrays and a header of 25 kB."""

_MAX_ARRAYS = 10_000
_KIND_OF = {"G_ema": "generator", "G": "generator", "D": "discriminator"}


def save(
    network: Generator | Discriminator,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a network to a file, atomically.

    metadata: further entries of the file's header. dtype: float16 halves the file and rounds the weights, once: a
    network loaded from it and saved again gives the same values. Raises ValueError where a weight exceeds float16.
    """
    own = {"format": FORMAT, "kind": network.kind, "init_kwargs": json.dumps(network.init_kwargs)}
    if clash := sorted(own.keys() & (metadata or {}).keys()):
        raise ValueError(f"metadata must not use the format's own entries: {', '.join(clash)}")
    # Filters stay exact: a rounded one may no longer be separable, which `load` asks of it.
    arrays = {
        name: _cast(name, array, "float32" if name.endswith("resample_filter") else dtype)
        for name, array in to_state_dict(network).items()
    }
    with atomic(path) as temporary:
        temporary.write_bytes(serialize(arrays, {**own, **(metadata or {})}))


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 9 at least, is a safetensors file: a size, then a JSON object."""
    return len(head) > 8 and int.from_bytes(head[:8], "little") < 2**32 and head[8:9] == b"{"


def checked_header(data: bytes) -> dict[str, Any]:
    """The header of a file. Raises CheckpointError if it is damaged or too large."""
    size = int.from_bytes(data[:8], "little")
    if size > MAX_HEADER:
        raise CheckpointError(f"its header has {size} bytes; that of a network has at most {MAX_HEADER}")
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"not a readable safetensors file, perhaps cut short: {error}") from error
    if not isinstance(header, dict) or len(header) > _MAX_ARRAYS:
        raise CheckpointError(f"not a safetensors file of a network, which has at most {_MAX_ARRAYS} arrays")
    return header


def is_own(header: Mapping[str, Any]) -> bool:
    """Whether `save` wrote a file with this header."""
    metadata = header.get("__metadata__")
    return isinstance(metadata, Mapping) and metadata.get("format") == FORMAT


def read(data: bytes, which: str | None = None) -> NetworkData:
    """Read a file that `save` wrote. which: "G_ema" or "G" for a generator, "D" for a discriminator, None for either.

    Raises CheckpointError for a damaged file, one of another program, or the other kind of network.
    """
    header = checked_header(data)
    try:
        arrays = deserialize(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"not a readable safetensors file, perhaps cut short: {error}") from error
    metadata = header.get("__metadata__") or {}
    kind = metadata.get("kind")
    if metadata.get("format") != FORMAT or kind not in ("generator", "discriminator"):
        raise CheckpointError("a safetensors file, but not one that stylegan2_flax.save wrote for a network")
    if which is not None and _KIND_OF.get(which) != kind:
        raise CheckpointError(f"which={which!r} is not in this file: it holds a {kind}")
    return NetworkData(kind, _init_kwargs(metadata, kind), arrays)


def _init_kwargs(metadata: Mapping[str, str], kind: str) -> dict:
    try:
        init_kwargs = json.loads(metadata["init_kwargs"])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"the file does not describe a {kind}: init_kwargs: {error!r}") from error
    if not isinstance(init_kwargs, dict):
        raise CheckpointError(f"the file does not describe a {kind}: init_kwargs must be a JSON object")
    return init_kwargs


def _cast(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype must be float32 or float16, got {dtype!r}")
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if not np.array_equal(np.isfinite(cast), np.isfinite(array)):
        raise ValueError(f"{name} holds values beyond the range of {dtype}: save with dtype='float32'")
    return cast
