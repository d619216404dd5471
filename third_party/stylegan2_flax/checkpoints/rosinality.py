"""Reading and writing of state dicts in the layout of rosinality's stylegan2-pytorch.

A `.pt` file holds them as g_ema, and perhaps g and d, beside latent_avg; a training checkpoint also holds optimisers
and arguments, and no latent_avg. Files of one bare state dict, and `.npz` and safetensors files with the same names,
are read too. No weight is computed with on the way: what is written and read again is the same to the last bit.

That ADA's kernels need no change, mirrored or otherwise, was found by running a PyTorch package of this layout (BasicSR
1.4.2) on what `to_rosinality` gives: the largest differences were 8e-6 of 11 for images and 2e-6 of 0.9 for logits.
"""

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as serialize

from stylegan2_flax import ops
from stylegan2_flax.checkpoints import descendants
from stylegan2_flax.checkpoints.layout import (
    MAX_BLOCKS,
    MAX_MAPPING_LAYERS,
    Change,
    count,
    discriminator_data,
    generator_data,
    translate,
)
from stylegan2_flax.checkpoints.network_data import CheckpointError, NetworkData
from stylegan2_flax.checkpoints.state_dict import to_state_dict
from stylegan2_flax.checkpoints.torch_writer import write_torch
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.files import atomic
from stylegan2_flax.generator import Generator
from stylegan2_flax.layers import FILTER
from stylegan2_flax.resample import Number

Names = dict[str, tuple[str, tuple[int, ...]]]
"""The layout's names -> this package's, and the axes of size 1 that only the layout's arrays have."""

SUFFIXES = (".pt", ".npz", ".safetensors")
_SECTIONS = {"G_ema": "g_ema", "G": "g", "D": "d"}
_MEAN = "latent_avg"
_MBSTD_GROUP = 4

# Arguments that the layout has no place for: it means these values.
_BLOCKS = {"activation": "lrelu", "resample_filter": list(FILTER)}
_SYNTHESIS = {**_BLOCKS, "architecture": "skip", "kernel_size": 3, "use_noise": True}
_MAPPING = {"activation": "lrelu", "lr_multiplier": 0.01}
_EPILOGUE = {"activation": "lrelu", "mbstd_group_size": _MBSTD_GROUP, "mbstd_num_channels": 1}


def recognises(content: Any) -> bool:
    """Whether the content of a file is, or contains, state dicts in this layout."""
    return isinstance(content, Mapping) and bool(_networks(content))


def read(content: Mapping[Any, Any], which: str | None = None) -> NetworkData:
    """Read a network from the content of a file: dictionaries of arrays, or one dictionary with dotted names.

    which: "G_ema", "G" or "D"; None: the first of these that it has. A generator that is not under g_ema or g counts
    as both.
    Where there is no latent_avg, the mean latent is that of 4096 fixed random vectors, and where there are no noise
    images, fixed ones are drawn: the PyTorch code draws both anew every time.
    Raises CheckpointError for missing, unexpected or misshapen arrays, filters other than [1, 3, 3, 1], and numbers of
    channels that no channel_base and channel_max give.
    """
    networks = _networks(content)
    if which is None:
        which = next(iter(networks))
    if which not in networks:
        raise CheckpointError(f"it has no network {which}: choose from {', '.join(networks)}")
    given = _without_filters(networks[which])
    modules = {".".join(name.split(".")[:2]) for name in given}
    if which == "D":
        blocks = count(modules, "convs.{}", 1, MAX_BLOCKS)
        return discriminator_data(translate(given, _changes(_discriminator_names(blocks))), _MBSTD_GROUP)
    blocks = count(modules, "to_rgbs.{}", 0, MAX_BLOCKS)
    names = _generator_names(blocks, max(1, count(modules, "style.{}", 1, MAX_MAPPING_LAYERS)))
    if not any(name.startswith("noises.") for name in given):
        given |= {f"noises.noise_{n}": _noise(n) for n in range(2 * blocks + 1)}
    table = _changes(names)
    mean = given.pop(_MEAN, None)
    if (mean := descendants.mean_latent(content) if mean is None else mean) is not None:
        given[_MEAN], table[_MEAN] = mean, ("mapping.w_avg", _mean_of_every_layer)
    _check_square(given.get("input.input"))
    return generator_data(translate(given, table))


def to_rosinality(network: Generator | Discriminator, drop_clamp: bool = False) -> dict[str, np.ndarray]:
    """The network's state dict for PyTorch: float32 arrays, those of fixed filters included.

    A generator's also holds latent_avg, the mean latent, which the PyTorch code keeps beside the state dict. That code
    makes networks of channel_base 32768 or 16384 (its channel_multiplier 2 or 1) and channel_max 512.
    drop_clamp: leave out conv_clamp, which the layout has no place for. Images then change where activations exceed it.
    (num_fp16_res and w_avg_beta, which change no image in float32, are left out in any case.)
    Raises ValueError for what the layout cannot hold: labels, another architecture, filter, activation or minibatch
    statistics, no noise, a clamp.
    """
    if isinstance(network, Generator):
        _check_generator(network, drop_clamp)
        blocks = len(network.synthesis.resolutions) - 1
        names = _generator_names(blocks, network.mapping.num_layers)
        if network.mapping.w_avg_beta is not None:
            names[_MEAN] = ("mapping.w_avg", ())
        filters = {f"convs.{2 * i}.conv.blur.kernel": 4 for i in range(blocks)}
        filters |= {f"to_rgbs.{i}.upsample.kernel": 4 for i in range(blocks)}
    else:
        _check_discriminator(network, drop_clamp)
        blocks = len(network.resolutions) - 1
        names = _discriminator_names(blocks)
        filters = {f"convs.{i}.{part}.0.kernel": 1 for i in range(1, blocks + 1) for part in ("conv2", "skip")}
    ours = to_state_dict(network)
    arrays = {theirs: np.array(np.expand_dims(ours[name], axes)) for theirs, (name, axes) in names.items()}
    return arrays | {name: gain * _standard_filter() for name, gain in filters.items()}


def save_rosinality(network: Generator | Discriminator, path: str | os.PathLike[str], drop_clamp: bool = False) -> None:
    """Write the result of `to_rosinality` to a file, atomically: `.pt`, `.npz`, or `.safetensors`.

    A `.pt` file has it as the projects that build on rosinality's expect it: under g_ema or d, beside latent_avg.
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise ValueError(f"the layout can be written to {', '.join(SUFFIXES)} files, not to {suffix or path!r}")
    arrays = to_rosinality(network, drop_clamp)
    with atomic(path) as temporary:
        if suffix == ".pt":
            beside = {_MEAN: arrays.pop(_MEAN)} if _MEAN in arrays else {}
            write_torch(temporary, {"g_ema" if network.kind == "generator" else "d": arrays, **beside})
        elif suffix == ".npz":
            np.savez(temporary, **arrays)  # pyright: ignore[reportArgumentType]
        else:
            temporary.write_bytes(serialize(arrays))


def _networks(content: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """The state dicts in a file, by their names in `load`."""
    found = {}
    for which, section in _SECTIONS.items():
        if isinstance(content.get(section), Mapping):
            found[which] = content[section]
        elif within := {
            name[len(section) + 1 :]: array
            for name, array in content.items()
            if isinstance(name, str) and re.match(rf"{section}[./]", name)
        }:
            found[which] = within
    if not found:
        return descendants.networks(content)
    return {
        which: descendants.network({str(name): array for name, array in network.items()})
        for which, network in found.items()
    }


def _mean_of_every_layer(array: np.ndarray) -> np.ndarray:
    """The mean latent [d], from [d] or from [l, d], as in pSp and related projects, where all rows are equal."""
    rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    if not (rows == rows[:1]).all():
        raise CheckpointError("its latent_avg differs from layer to layer, where StyleGAN2 has one mean latent")
    return rows[0]


def _check_square(constant: Any) -> None:
    if isinstance(constant, np.ndarray) and constant.ndim == 4 and constant.shape[2] != constant.shape[3]:
        raise CheckpointError(
            f"it makes images that are not square (it starts from {constant.shape[2]} x {constant.shape[3]}), as "
            "StyleGAN-Human's: only StyleGAN2's square networks can be loaded"
        )


def _generator_names(blocks: int, mapping_layers: int) -> Names:
    """blocks: number of doublings of the resolution, from 4 px."""
    names: Names = {"input.input": ("synthesis.b4.const", (0,))}
    for i in range(mapping_layers):
        names |= {f"style.{i + 1}.{part}": (f"mapping.fc{i}.{part}", ()) for part in ("weight", "bias")}
    layers = [("conv1", "synthesis.b4.conv1")]
    images = [("to_rgb1", "synthesis.b4.torgb")]
    for i in range(blocks):
        block = f"synthesis.b{8 * 2**i}"
        layers += [(f"convs.{2 * i}", f"{block}.conv0"), (f"convs.{2 * i + 1}", f"{block}.conv1")]
        images.append((f"to_rgbs.{i}", f"{block}.torgb"))
    for n, (theirs, ours) in enumerate(layers):
        names |= _modulated(theirs, ours)
        names |= {
            f"{theirs}.noise.weight": (f"{ours}.noise_strength", (0,)),
            f"{theirs}.activate.bias": (f"{ours}.bias", ()),
            f"noises.noise_{n}": (f"{ours}.noise_const", (0, 1)),
        }
    for theirs, ours in images:
        names |= _modulated(theirs, ours)
        names[f"{theirs}.bias"] = (f"{ours}.bias", (0, 2, 3))
    return names


def _modulated(theirs: str, ours: str) -> Names:
    return {
        f"{theirs}.conv.weight": (f"{ours}.weight", (0,)),
        f"{theirs}.conv.modulation.weight": (f"{ours}.affine.weight", ()),
        f"{theirs}.conv.modulation.bias": (f"{ours}.affine.bias", ()),
    }


def _discriminator_names(blocks: int) -> Names:
    """blocks: number of halvings of the resolution, down to 4 px."""
    resolution = 4 * 2**blocks
    names = {
        "convs.0.0.weight": f"b{resolution}.fromrgb.weight",
        "convs.0.1.bias": f"b{resolution}.fromrgb.bias",
        "final_conv.0.weight": "b4.conv.weight",
        "final_conv.1.bias": "b4.conv.bias",
        "final_linear.0.weight": "b4.fc.weight",
        "final_linear.0.bias": "b4.fc.bias",
        "final_linear.1.weight": "b4.out.weight",
        "final_linear.1.bias": "b4.out.bias",
    }
    for i in range(1, blocks + 1):
        block = f"b{resolution // 2 ** (i - 1)}"
        names |= {  # the first module of conv2 and of skip is a filter
            f"convs.{i}.conv1.0.weight": f"{block}.conv0.weight",
            f"convs.{i}.conv1.1.bias": f"{block}.conv0.bias",
            f"convs.{i}.conv2.1.weight": f"{block}.conv1.weight",
            f"convs.{i}.conv2.2.bias": f"{block}.conv1.bias",
            f"convs.{i}.skip.1.weight": f"{block}.skip.weight",
        }
    return {theirs: (ours, ()) for theirs, ours in names.items()}


def _changes(names: Names) -> dict[str, tuple[str, Change]]:
    return {theirs: (ours, partial(np.squeeze, axis=axes)) for theirs, (ours, axes) in names.items()}


def _standard_filter() -> np.ndarray:
    return np.asarray(ops.setup_filter(FILTER))


def _without_filters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays without those of filters, which must be the default filter."""
    kept = {}
    for name, array in given.items():
        if not name.endswith(".kernel"):
            kept[name] = array
            continue
        gain = 4 if name.endswith((".blur.kernel", ".upsample.kernel")) else 1
        usual = gain * _standard_filter()
        if not isinstance(array, np.ndarray) or array.shape != usual.shape or not np.allclose(array, usual, 1e-3):
            raise CheckpointError(
                f"{name} is not the filter {list(FILTER)}: networks with other filters cannot be read"
            )
    return kept


def _noise(n: int) -> np.ndarray:
    size = 4 * 2 ** ((n + 1) // 2)
    return np.random.default_rng(n).standard_normal((1, 1, size, size), np.float32)


def _check_generator(network: Generator, drop_clamp: bool) -> None:
    given = network.init_kwargs
    mapping, synthesis = given["mapping_kwargs"], given["synthesis_kwargs"]
    _check(given, {"c_dim": 0})
    _check(synthesis, _SYNTHESIS)
    _check(mapping, _MAPPING)
    _check_clamp(synthesis.get("conv_clamp"), drop_clamp)
    hidden = network.w_dim if mapping.get("layer_features") is None else mapping["layer_features"]
    if not network.z_dim == hidden == network.w_dim or network.mapping.num_layers == 0:
        raise ValueError(
            "the layout has at least one mapping layer, and all of one size: "
            f"z_dim {network.z_dim}, layer_features {hidden} and w_dim {network.w_dim} must be equal"
        )


def _check_discriminator(network: Discriminator, drop_clamp: bool) -> None:
    given = network.init_kwargs
    _check(given, {"c_dim": 0, "architecture": "resnet"})
    _check(given["block_kwargs"], _BLOCKS)
    _check(given["epilogue_kwargs"], _EPILOGUE)
    _check_clamp(given["conv_clamp"], drop_clamp)


def _check(given: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    for name, value in fixed.items():
        if given.get(name, value) != value:
            raise ValueError(f"the layout holds networks of {name} {value!r} only, not {given[name]!r}")


def _check_clamp(clamp: Number | None, drop_clamp: bool) -> None:
    if clamp is not None and not drop_clamp:
        raise ValueError(
            f"the layout has no place for conv_clamp {clamp}: drop_clamp=True (--drop_clamp) leaves it out"
        )
