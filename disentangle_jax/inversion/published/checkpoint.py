"""Encoders from files of pSp, e4e and ReStyle: {"state_dict": encoder.*, decoder.*, "latent_avg": ..., "opts": ...}."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from disentangle_jax.inversion.published import networks
from disentangle_jax.inversion.published.encoder import (
    KINDS,
    RESTYLE,
    SINGLE_STYLE,
    SIZE,
    Encoder,
    from_state_dict,
)
from disentangle_jax.inversion.published.state_dict import without_data_parallel
from stylegan2_flax import CheckpointError
from stylegan2_flax.checkpoints import torch_files
from stylegan2_flax.checkpoints.layout import count, listed
from stylegan2_flax.checkpoints.load import description
from stylegan2_flax.checkpoints.source import Source, fetch
from stylegan2_flax.files import is_url

_CARS, _CARS_SIZE = "cars", (192, 256)
_RESOLUTIONS = ("output_size", "stylegan_size")
_MOST = 64


def load_encoder(path: Source) -> Encoder:
    """Loads the encoder of a checkpoint of pSp, e4e or ReStyle; the generator in the same file is `sg2.load(path)`.

    Args:
        path: a file, or a URL that `stylegan2_flax.load` reads. It is read as data; no code in it is run.

    Returns:
        encoder(images [n, h, w, 3] in [-1, 1]) -> ws [n, l, 512]; ReStyle's also needs the generator. The file's
        latent_avg is added where its options say start_from_latent_avg, or say nothing and there is one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, holds no encoder of a known kind, or its parts do not fit each other.
    """
    try:
        return _encoder(read_torch(path))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_torch(path: Source) -> Any:
    """What is in a file of torch.save, as `stylegan2_flax.checkpoints.torch_files.read_torch` gives it."""
    data = fetch(path if is_url(path) else Path(path).expanduser())
    if not torch_files.recognises(data[:1024]):
        raise CheckpointError(f"it is no file of torch.save, but: {description(data[: 2**16])}")
    return torch_files.read_torch(data)


def _encoder(content: Any) -> Encoder:
    parts = content if isinstance(content, Mapping) else {}
    if not isinstance(arrays := parts.get("state_dict"), Mapping):
        held = f": it holds {listed(parts)}" if parts else ""
        raise CheckpointError(f"it is no checkpoint of pSp, e4e or ReStyle, which have a state_dict{held}")
    if not isinstance(options := parts.get("opts"), Mapping):
        raise CheckpointError("it has no opts, which say what its encoder is: give its arrays to from_state_dict")
    arrays = without_data_parallel(arrays)
    own = {name.removeprefix("encoder."): array for name, array in arrays.items() if name.startswith("encoder.")}
    if not own:
        raise CheckpointError("it holds no encoder, that is, no arrays named encoder.*; get the project's whole file")
    kind = options.get("encoder_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"its encoder is of type {kind!r:.80}: those that can be read are {', '.join(KINDS)}")
    latent_avg = _latent_avg(parts, options, kind)
    num_ws = _num_ws(own, arrays, options, latent_avg, kind)
    mode = "ir_se" if "body.0.res_layer.5.fc1.weight" in own else "ir"
    encoder = from_state_dict(own, encoder_type=kind, num_ws=num_ws, mode=mode)
    return Encoder(
        encoder.network,
        num_ws,
        in_rounds=encoder.in_rounds,
        size=_CARS_SIZE if str(options.get("dataset_type", "")).startswith(_CARS) else SIZE,
        latent_avg=None if latent_avg is None else np.broadcast_to(latent_avg, (num_ws, networks.W_DIM)),
    )


def _latent_avg(parts: Mapping[Any, Any], options: Mapping[Any, Any], kind: str) -> np.ndarray | None:
    """The mean latent that codes are added to, [1, 512] or [l, 512]; None if they are added to none."""
    given = parts.get("latent_avg")
    starts_from = options.get("start_from_latent_avg", given is not None)
    if not starts_from and kind not in RESTYLE:
        return None
    if given is None:
        raise CheckpointError("its codes start from latent_avg, which it does not hold; get the project's whole file")
    shape = np.shape(given)
    if len(shape) not in (1, 2) or shape[-1] != networks.W_DIM or np.asarray(given).dtype.kind != "f":
        raise CheckpointError(f"its latent_avg must have shape [l, {networks.W_DIM}], has {list(shape)}")
    if not np.isfinite(given).all():
        raise CheckpointError("its latent_avg is of no use: there is NaN or infinity in it")
    return np.asarray(given, np.float32).reshape(-1, networks.W_DIM)


def _num_ws(
    own: Mapping[str, Any],
    arrays: Mapping[str, Any],
    options: Mapping[Any, Any],
    latent_avg: np.ndarray | None,
    kind: str,
) -> int:
    """The number of latents of W+ that encoder, generator and options agree on."""
    found = {f"opts.{name}": _layers_at(options[name]) for name in _RESOLUTIONS if options.get(name) is not None}
    if kind not in SINGLE_STYLE:
        modules = {match[0] for name in own if (match := re.match(r"styles\.\d+", name))}
        found["the encoder"] = count(modules, "styles.{}", 0, _MOST)
    modules = {match[0] for name in arrays if (match := re.match(r"decoder\.to_rgbs\.\d+", name))}
    if modules:
        found["the generator"] = 2 * count(modules, "decoder.to_rgbs.{}", 0, _MOST) + 2
    if latent_avg is not None and len(latent_avg) > 1:
        found["latent_avg"] = len(latent_avg)
    if not found:
        raise CheckpointError(
            "nothing in it tells the number of latents: its opts have no output_size, and it has no generator"
        )
    if len(set(found.values())) > 1:
        told = ", ".join(f"{number} of {part}" for part, number in found.items())
        raise CheckpointError(f"its parts are for different numbers of latents ({told}): get the project's whole file")
    return next(iter(found.values()))


def _layers_at(resolution: Any) -> int:
    """The number of latents of a generator of so many pixels."""
    if type(resolution) is not int or resolution < 4 or resolution & (resolution - 1):
        raise CheckpointError(f"its opts name a generator of {resolution!r:.80} px, which is no power of two from 4 on")
    return 2 * resolution.bit_length() - 4
