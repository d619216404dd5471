"""Named arrays as safetensors files: those that come with the package by name, those of the user by path."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from disentangle_jax import files


def find(name: str | Path, missing: str, ending: str = ".safetensors") -> Path:
    """The bundled file (of `assets/`) called `name` + `ending`, else the user's file at the path `name`.

    Raises:
        FileNotFoundError: there is neither; `missing` is its message.
    """
    bundled = Path(str(resources.files("disentangle_jax"))) / "assets" / f"{name}{ending}"
    for path in (bundled, Path(name)):
        if path.is_file():
            return path
    raise FileNotFoundError(missing)


def save(path: str | Path, arrays: Mapping[str, np.ndarray], **about: Any) -> None:
    """Write arrays, whole or not at all, and beside them what they are: plain data by the name of its kind."""
    with files.atomic(path) as temporary:
        save_file(dict(arrays), temporary, {kind: json.dumps(value) for kind, value in about.items()})


def load(path: str | Path, kind: str | None = None) -> tuple[dict[str, np.ndarray], Any]:
    """Read what `save` wrote: the arrays, and what it was told about the kind.

    Raises:
        ValueError: the file is damaged or holds something else.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}); get it or make it anew") from error
    if kind is None:
        return arrays, None
    if kind not in about:
        raise ValueError(f"{path} holds no {kind}: its metadata lack the entry {kind!r}")
    return arrays, json.loads(about[kind])
