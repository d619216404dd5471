"""`load`: loads any published checkpoint from a file or a URL. The format is detected from the content."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, overload

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as deserialize

from stylegan2_flax.checkpoints import (
    descendants,
    flaxmodels,
    npz,
    nvidia_tf,
    nvidia_torch,
    rosinality,
    safetensors,
    torch_files,
)
from stylegan2_flax.checkpoints.layout import listed
from stylegan2_flax.checkpoints.network_data import CheckpointError, NetworkData
from stylegan2_flax.checkpoints.source import Source, fetch
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.generator import Generator

NETWORKS = ("G_ema", "G", "D")
_HEAD = 2**16


@overload
def load(source: Source, which: Literal["G_ema", "G"]) -> Generator: ...


@overload
def load(source: Source, which: Literal["D"]) -> Discriminator: ...


@overload  # a generator, but for files of a discriminator alone
def load(source: Source, which: None = None) -> Generator | Any: ...


@overload
def load(source: Source, which: str | None) -> Generator | Discriminator: ...


def load(source: Source, which: str | None = None) -> Generator | Discriminator:
    """Load a network from a checkpoint. Weights become float32.

    source: a path; a URL of any kind that fsspec knows (https://, s3://, gs://, simplecache::https://, ...), which
    needs fsspec; or hf://owner/name/file or hf://owner/name@revision/file, which needs huggingface_hub.
    Its content, not its name, tells the format: NVIDIA's pickles (PyTorch, TensorFlow), networks of theirs in files of
    torch.save (PTI), state dicts of rosinality's project and those that build on it (pSp, e4e, ReStyle, BasicSR,
    GFPGAN, MMGeneration, DualStyleGAN) in .pt, .npz or safetensors, flaxmodels' HDF5 files, which need h5py, and files
    of `stylegan2_flax.save`.
    which: "G_ema", the generator with averaged weights, "G" or "D"; None: the first of these that there is.
    Raises FileNotFoundError, ImportError that says what to install, or CheckpointError (a ValueError) that says what is
    wrong: with the file, the connection, or `which`.
    """
    return load_as(source, which)[1]


def load_as(source: Source, which: str | None = None) -> tuple[str, Generator | Discriminator]:
    """Load a network, and return it after the name of its format. For arguments and errors see `load`."""
    if which is not None and which not in NETWORKS:
        raise ValueError(f"which must be one of {', '.join(NETWORKS)}, got {which!r}")
    try:
        name, network = _read(fetch(source), which)
        _check_numbers(network)
        return name, network.build()
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _read(data: bytes, which: str | None) -> tuple[str, NetworkData]:
    head = data[:_HEAD]
    for name, recognises, read in _FORMATS:
        if recognises(head):
            return name, read(data, which)
    raise CheckpointError(f"it is no checkpoint: {description(head)}")


def _read_safetensors(data: bytes, which: str | None) -> NetworkData:
    """Read a file of this package, or a state dict in rosinality's layout, detected by the names of its arrays."""
    header = safetensors.checked_header(data)
    if safetensors.is_own(header) or not rosinality.recognises(dict.fromkeys(header)):  # by the names alone
        return safetensors.read(data, which)
    try:
        arrays = deserialize(data)
    except KeyError as error:
        raise CheckpointError(f"its arrays are of type {error}, which NumPy lacks: save them as float32") from error
    except (SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f"it is not a readable safetensors file, perhaps cut short: {error}") from error
    return _read_arrays(arrays, which)


def _read_torch(data: bytes, which: str | None) -> NetworkData:
    return _read_arrays(torch_files.read_torch(data), which)


def _read_npz(data: bytes, which: str | None) -> NetworkData:
    return _read_arrays(npz.read_npz(data), which)


def _read_arrays(content: Any, which: str | None) -> NetworkData:
    if not rosinality.recognises(content):
        descendants.refuse_others(content if isinstance(content, Mapping) else {})
        held = f": it holds {listed(content)}" if isinstance(content, Mapping) else ""
        raise CheckpointError(f"it has no state dict of StyleGAN2 in rosinality's layout{held}")
    return rosinality.read(content, which)


def _check_numbers(network: NetworkData) -> None:
    """Raise CheckpointError if an array is not finite, since one NaN makes all images NaN."""
    for name, array in network.arrays.items():
        if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
            raise CheckpointError(f"{name} is no array of real numbers, but of {array.dtype}")
    with np.errstate(over="ignore"):
        bad = [name for name, array in network.arrays.items() if not np.isfinite(np.asarray(array, np.float32)).all()]
    if bad:
        raise CheckpointError(f"its weights are of no use: there is NaN or infinity in {listed(bad)}")


def description(head: bytes) -> str:
    """A hint about a file that is not a checkpoint."""
    text = head[:512].lstrip().lower()
    if not head:
        return "the file is empty"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "the file is a web page; the link may lead to a page about the file, or the site may ask to log in"
    if head.startswith(b"version https://git-lfs"):
        return "the file is a Git LFS pointer: run git lfs pull to get what it points to"
    if head.startswith(b"\x80"):
        return "the file is a pickle, but not one of NVIDIA's StyleGAN2"
    for kind, beginnings in _OTHERS.items():
        if head.startswith(beginnings):
            return f"the file is {kind}"
    return f"the file begins with {head[:8]!r}, as no known format does"


_OTHERS = {
    "a picture": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM"),
    "an archive: unpack it and give a file of it": (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"),
    "text": (b"{", b"[", b"#"),
}
_FORMATS: tuple[tuple[str, Callable[[bytes], bool], Callable[[bytes, str | None], NetworkData]], ...] = (
    ("safetensors", safetensors.recognises, _read_safetensors),
    ("flaxmodels, HDF5", flaxmodels.recognises, flaxmodels.read),
    ("NVIDIA, torch.save", nvidia_torch.recognises_saved, nvidia_torch.read_saved),
    ("rosinality, torch.save", torch_files.recognises, _read_torch),
    ("rosinality, npz", npz.recognises, _read_npz),
    ("NVIDIA, PyTorch", nvidia_torch.recognises, nvidia_torch.read),
    ("NVIDIA, TensorFlow", nvidia_tf.recognises, nvidia_tf.read),
)
