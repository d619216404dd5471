"""Shared code of the readers: translation of names, and constructor arguments from shapes."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stylegan2_flax import ops
from stylegan2_flax.checkpoints.network_data import CheckpointError, NetworkData, resample_filters

Change = Callable[[np.ndarray], np.ndarray]
"""Converts an array of a file to this package's layout. Raises ValueError for a wrong number of axes."""

MAX_BLOCKS = 10
"""Largest number of doublings from 4 px. No published network has more than 4096 px."""

MAX_MAPPING_LAYERS = 100

_LR_MULTIPLIER = 0.01
_MAX_MAPPING_WIDTH = 2**14
_MAX_LISTED = 8


def count(names: Collection[Any], pattern: str, start: int, most: int) -> int:
    """The number of consecutive names of the pattern, from `start` up to the first missing one."""
    end = start
    while end - start < most and pattern.format(end) in names:
        end += 1
    return end - start


def translate(given: Mapping[Any, Any], table: Mapping[str, tuple[str, Change]]) -> dict[str, np.ndarray]:
    """Rename the arrays, and convert them to this package's shapes.

    table: from each name in the file to ours and the change of shape.
    Raises CheckpointError for names that are missing or not in the table, and for arrays of other dimensions.
    """
    problems = [
        f"{problem} {listed(names)}"
        for problem, names in (("missing", table.keys() - given.keys()), ("unexpected", given.keys() - table.keys()))
        if names
    ]
    if problems:
        raise CheckpointError("its arrays are not those of a StyleGAN2 network: " + "; ".join(problems))
    arrays = {}
    for name, (ours, change) in table.items():
        array = given[name]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise CheckpointError(f"{name} should be an array of real numbers, but is of type {kind}")
        try:
            arrays[ours] = change(array)
        except CheckpointError:
            raise
        except ValueError as error:
            raise CheckpointError(f"{name} has the wrong shape {list(array.shape)}") from error
    return arrays


def generator_data(arrays: Mapping[str, np.ndarray]) -> NetworkData:
    """A generator of architecture skip from its arrays, under ADA's names; those of fixed filters are added.

    Without `mapping.w_avg` the mean latent is that of 4096 fixed random vectors.
    """
    channels = _channels(arrays, "synthesis.b{}.conv1.weight")
    widths = _mapping_widths(arrays)
    mapping = {"num_layers": len(widths) - 1, "layer_features": widths[1], "lr_multiplier": _LR_MULTIPLIER}
    c_dim = embedded = 0
    if "mapping.embed.weight" in arrays:
        embedded, c_dim = _sizes(arrays, "mapping.embed.weight", 2)
        mapping["embed_features"] = embedded
    init_kwargs = {
        "z_dim": widths[0] - embedded,
        "c_dim": c_dim,
        "w_dim": widths[-1],
        "img_resolution": max(channels),
        "img_channels": _sizes(arrays, "synthesis.b4.torgb.weight", 4)[0],
        "mapping_kwargs": mapping,
        "synthesis_kwargs": _channel_arguments(channels),
    }
    added = resample_filters(list(arrays))
    if "mapping.w_avg" not in arrays:
        if c_dim:
            raise CheckpointError("it is conditional and has no mean latent, which depends on the labels' frequencies")
        added["mapping.w_avg"] = _mean_latent(arrays, widths)
    return NetworkData("generator", init_kwargs, {**arrays, **added})


def discriminator_data(arrays: Mapping[str, np.ndarray], mbstd_group_size: int | None) -> NetworkData:
    """A discriminator of architecture resnet or orig from its arrays, under ADA's names; fixed filters are added.

    Labels are embedded by one layer, where there are any.
    """
    conv = _sizes(arrays, "b4.conv.weight", 4)
    channels = {4: conv[0], **_channels(arrays, "b{}.conv0.weight", start=8)}
    resolution = max(channels)
    is_resnet = resolution == 4 or f"b{resolution}.skip.weight" in arrays
    init_kwargs = {
        "img_resolution": resolution,
        "img_channels": _sizes(arrays, f"b{resolution}.fromrgb.weight", 4)[1],
        "architecture": "resnet" if is_resnet else "orig",
        **_channel_arguments(channels),
        "epilogue_kwargs": {"mbstd_group_size": mbstd_group_size, "mbstd_num_channels": conv[1] - conv[0]},
    }
    if "mapping.embed.weight" in arrays:
        cmap_dim, c_dim = _sizes(arrays, "mapping.embed.weight", 2)
        init_kwargs |= {"c_dim": c_dim, "cmap_dim": cmap_dim, "mapping_kwargs": {"num_layers": 0}}
    return NetworkData("discriminator", init_kwargs, {**arrays, **resample_filters(list(arrays))})


def _channels(arrays: Mapping[str, np.ndarray], name: str, start: int = 4) -> dict[int, int]:
    """The number of channels at each resolution from `start` on."""
    channels, resolution = {}, start
    while name.format(resolution) in arrays:
        channels[resolution] = _sizes(arrays, name.format(resolution), 4)[0]
        resolution *= 2
    return channels


def _channel_arguments(channels: Mapping[int, int]) -> dict[str, int]:
    channel_base = max(resolution * size for resolution, size in channels.items())
    channel_max = max(channels.values())
    if any(size != min(channel_base // resolution, channel_max) for resolution, size in channels.items()):
        given = ", ".join(f"{size} at {resolution} px" for resolution, size in channels.items())
        raise CheckpointError(
            f"its channels ({given}) are not min(channel_base / resolution, channel_max) for any two such numbers"
        )
    return {"channel_base": channel_base, "channel_max": channel_max}


def _mapping_widths(arrays: Mapping[str, np.ndarray]) -> list[int]:
    """The sizes of the mapping network's input and of each layer's output."""
    widths = [_sizes(arrays, "mapping.fc0.weight", 2)[1]]
    while (name := f"mapping.fc{len(widths) - 1}.weight") in arrays:
        out, size = _sizes(arrays, name, 2)
        bias = arrays[name.replace("weight", "bias")].shape
        if size != widths[-1] or bias != (out,):
            raise CheckpointError(f"{name} {[out, size]} with bias {list(bias)} does not fit {widths[-1]} inputs")
        widths.append(out)
    if max(widths) > _MAX_MAPPING_WIDTH:  # the mean latent would take more memory than a small file may
        raise CheckpointError(f"its mapping network is {max(widths)} wide: the most is {_MAX_MAPPING_WIDTH}")
    return widths


def _mean_latent(arrays: Mapping[str, np.ndarray], widths: list[int]) -> np.ndarray:
    x = ops.normalize_2nd_moment(jax.random.normal(jax.random.key(0), (4096, widths[0])))
    for i in range(len(widths) - 1):
        weight, bias = (jnp.asarray(arrays[f"mapping.fc{i}.{part}"], jnp.float32) for part in ("weight", "bias"))
        x = ops.fully_connected(x, weight, bias, "lrelu", _LR_MULTIPLIER)
    return np.asarray(x.mean(axis=0))


def _sizes(arrays: Mapping[str, np.ndarray], name: str, dimensions: int) -> tuple[int, ...]:
    shape = arrays[name].shape
    if len(shape) != dimensions or 0 in shape:
        raise CheckpointError(f"{name} has the wrong shape {list(shape)}: it should have {dimensions} dimensions")
    return shape


def listed(names: Collection[Any]) -> str:
    """The names as text; only the first ones of a long list."""
    shown = [f"{name!s:.80}" for name in sorted(map(str, names))[:_MAX_LISTED]]
    return ", ".join(shown) + (f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else "")
