"""Pickles of NVIDIA's TensorFlow code: stylegan2 and stylegan2-ada.

Such a file is a tuple of networks G, D and Gs, the last with averaged weights: G_ema here. Each network holds its name,
its arguments, its variables and the source text of the function that builds it, which stays text.
"""

import re
from typing import Any, Literal

import numpy as np

from stylegan2_flax.checkpoints.network_data import CheckpointError, NetworkData, resample_filters
from stylegan2_flax.checkpoints.numpy_pickles import NUMPY_CALLS, Budget, to_array, to_number
from stylegan2_flax.checkpoints.unpickler import Call, FileData, Unpickler
from stylegan2_flax.layers import FILTER

_NETWORK, _PROGRESSIVE_GAN = "dnnlib.tflib.network.Network", "tfutil.Network"
_CALLS = frozenset({_NETWORK, _PROGRESSIVE_GAN}) | NUMPY_CALLS
_STYLEGAN1 = ("G_style", "D_basic")
_OLDEST_VERSION = 4
_MAX_VARIABLES = 10_000

_Kind = Literal["generator", "discriminator"]

# Arguments that say how to compute or train, or what names and shapes of the variables say again.
_IGNORED = (
    *("func_name", "dtype", "structure", "architecture", "fmap_min", "fmap_decay", "mapping_fmaps", "label_fmaps"),
    *("is_training", "is_validation", "is_template_graph", "freeze_layers", "truncation_psi", "truncation_cutoff"),
    *("truncation_psi_val", "truncation_cutoff_val", "style_mixing_prob", "randomize_noise", "fused_modconv"),
    *("return_dlatents", "dlatent_broadcast", "mapping_func", "synthesis_func"),
)
_SIZES = {"label_size": "c_dim", "resolution": "img_resolution", "num_channels": "img_channels"}
_ARGUMENTS: dict[_Kind, dict[str, str]] = {
    "generator": {
        **_SIZES,
        "latent_size": "z_dim",
        "dlatent_size": "w_dim",
        "mapping_layers": "mapping_kwargs.num_layers",
        "mapping_lrmul": "mapping_kwargs.lr_multiplier",
        "mapping_nonlinearity": "mapping_kwargs.activation",
        "dlatent_avg_beta": "mapping_kwargs.w_avg_beta",
        "w_avg_beta": "mapping_kwargs.w_avg_beta",
        "fmap_base": "synthesis_kwargs.channel_base",
        "fmap_max": "synthesis_kwargs.channel_max",
        "num_fp16_res": "synthesis_kwargs.num_fp16_res",
        "conv_clamp": "synthesis_kwargs.conv_clamp",
        "use_noise": "synthesis_kwargs.use_noise",
        "resample_kernel": "synthesis_kwargs.resample_filter",
        "nonlinearity": "synthesis_kwargs.activation",
    },
    "discriminator": {
        **_SIZES,
        "fmap_base": "channel_base",
        "fmap_max": "channel_max",
        "num_fp16_res": "num_fp16_res",
        "conv_clamp": "conv_clamp",
        "resample_kernel": "block_kwargs.resample_filter",
        "nonlinearity": "block_kwargs.activation",
        "mapping_layers": "mapping_kwargs.num_layers",
        "mapping_lrmul": "mapping_kwargs.lr_multiplier",
        "mbstd_group_size": "epilogue_kwargs.mbstd_group_size",
        "mbstd_num_features": "epilogue_kwargs.mbstd_num_channels",
    },
}

# Names of variables as regular expressions, and what they become; what becomes None has no use at full resolution.
_PLACES: dict[_Kind, dict[str, str | None]] = {
    "generator": {
        r"dlatent_avg": "mapping.w_avg",
        r"mapping/Dense(\d+)/(weight|bias)": r"mapping.fc\1.\2",
        r"mapping/LabelEmbed/(weight|bias)": r"mapping.embed.\1",
        r"mapping/LabelConcat/weight": "mapping.embed.weight",
        r"synthesis/4x4/Const/const": "synthesis.b4.const",
        r"synthesis/4x4/Conv/(\w+)": r"synthesis.b4.conv1.\1",
        r"synthesis/(\d+)x\1/Conv0_up/(\w+)": r"synthesis.b\1.conv0.\2",
        r"synthesis/(\d+)x\1/Conv1/(\w+)": r"synthesis.b\1.conv1.\2",
        r"synthesis/(\d+)x\1/ToRGB/(\w+)": r"synthesis.b\1.torgb.\2",
        r"synthesis/(\d+)x\1/Skip/weight": r"synthesis.b\1.skip.weight",
        r"synthesis/ToRGB_lod0/(\w+)": r"synthesis.b{resolution}.torgb.\1",
        r"synthesis/ToRGB_lod[1-9]\d*/\w+|(synthesis/)?lod": None,
    },
    "discriminator": {
        r"(\d+)x\1/FromRGB/(weight|bias)": r"b\1.fromrgb.\2",
        r"(\d+)x\1/Conv0/(weight|bias)": r"b\1.conv0.\2",
        r"(\d+)x\1/Conv1_down/(weight|bias)": r"b\1.conv1.\2",
        r"(\d+)x\1/Skip/weight": r"b\1.skip.weight",
        r"4x4/Conv/(weight|bias)": r"b4.conv.\1",
        r"4x4/Dense0/(weight|bias)": r"b4.fc.\1",
        r"Output/(weight|bias)": r"b4.out.\1",
        r"LabelEmbed/(weight|bias)": r"mapping.embed.\1",
        r"Mapping(\d+)/(weight|bias)": r"mapping.fc\1.\2",
        r"FromRGB_lod0/(weight|bias)": r"b{resolution}.fromrgb.\1",
        r"FromRGB_lod[1-9]\d*/\w+|lod": None,
    },
}
_LEAVES = {"mod_weight": "affine.weight", "mod_bias": "affine.bias"}


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 64 KiB at least, is a pickle of NVIDIA's TensorFlow code."""
    return head.startswith(b"\x80") and (b"dnnlib.tflib.network" in head or b"tfutil" in head)


def read(data: FileData, which: str | None = None) -> NetworkData:
    """One network of a pickle. which: "G_ema", "G" or "D"; None: the first of these that it has.

    Arrays are views of `data` where they can be. Raises CheckpointError, and nothing else, for a file that cannot be
    used.
    """
    view = memoryview(data).toreadonly()
    kind, state = _chosen(Unpickler(view, _CALLS).load(), which)
    arguments = _given_arguments(state["static_kwargs"], kind)
    variables = _variables(state, kind)
    arrays = _arrays(variables, kind, arguments["img_resolution"], Budget(len(view)))
    _infer_arguments(arguments, kind, arrays, state.get("build_func_name"), "mapping/LabelConcat/weight" in variables)
    network = NetworkData(kind, arguments, arrays)
    group = arguments["synthesis_kwargs" if kind == "generator" else "block_kwargs"]
    arrays.update(resample_filters(list(arrays), group.get("resample_filter", FILTER)))
    return network


def _chosen(pickled: Any, which: str | None) -> tuple[_Kind, dict[str, Any]]:
    """Kind and state of the selected network."""
    if isinstance(pickled, Call):
        is_generator = "synthesis" in _state(pickled)["components"]
        named: dict[str, Any] = {"G_ema": pickled, "G": pickled} if is_generator else {"D": pickled}
    elif isinstance(pickled, tuple | list) and len(pickled) == 3:
        named = dict(zip(("G", "D", "G_ema"), pickled, strict=True))
    else:
        raise CheckpointError("it is a pickle, but not of NVIDIA's networks G, D and Gs")
    which = which or ("G_ema" if "G_ema" in named else "D")
    if which not in named:
        raise CheckpointError(f"it has no network {which}: choose from {', '.join(named)}")
    return "discriminator" if which == "D" else "generator", _state(named[which])


def _state(network: Any) -> dict[str, Any]:
    """The attributes of a network of StyleGAN2."""
    if isinstance(network, Call) and network.name == _PROGRESSIVE_GAN:
        raise CheckpointError("it is a Progressive GAN (2017): only StyleGAN2 networks can be loaded")
    if not isinstance(network, Call) or network.name != _NETWORK or not isinstance(network.state, dict):
        raise CheckpointError("something else stands where a network is expected")
    state = {"components": {}} | network.state
    if state.get("build_func_name") in _STYLEGAN1:
        raise CheckpointError("it is a StyleGAN of 2018 (version 1): only StyleGAN2 networks can be loaded")
    version = state.get("version")
    if type(version) is not int or version < _OLDEST_VERSION:
        shown = version if type(version) is int else "unknown"
        raise CheckpointError(f"its networks have format version {shown}: {_OLDEST_VERSION} is the oldest known")
    if not isinstance(state.get("static_kwargs"), dict) or not isinstance(state["components"], dict):
        raise CheckpointError("a network in it is damaged: its arguments or components are missing")
    return state


def _variables(state: dict[str, Any], kind: _Kind) -> dict[str, Any]:
    """The variables of a network and of its components, with the name of the component as a prefix."""
    parts = {"": state}
    if kind == "generator":
        parts |= {name: _state(state["components"].get(name)) for name in ("mapping", "synthesis")}
    found = {}
    for part, owner in parts.items():
        variables = owner.get("variables")
        if not isinstance(variables, list) or len(variables) > _MAX_VARIABLES:
            raise CheckpointError("a network in it is damaged: it has no list of variables")
        for pair in variables:
            if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
                raise CheckpointError("a network in it is damaged: a variable is no pair of a name and an array")
            found[f"{part}/{pair[0][:100]}".lstrip("/")] = pair[1]
    return found


def _arrays(variables: dict[str, Any], kind: _Kind, resolution: Any, budget: Budget) -> dict[str, np.ndarray]:
    arrays = {}
    for name, value in variables.items():
        ours = _place(name, kind)
        if ours is not None:
            ours = ours.format(resolution=resolution)
            arrays[ours] = _our_layout(name, ours, to_array(value, budget))
            if "LabelConcat" in name:  # a plain matrix product: no bias, and no division by sqrt(c_dim)
                arrays[ours] = arrays[ours] * np.sqrt(np.float32(arrays[ours].shape[-1]))
                arrays["mapping.embed.bias"] = np.zeros(arrays[ours].shape[:1], np.float32)
    return arrays


def _place(name: str, kind: _Kind) -> str | None:
    if noise := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        index = int(noise[1]) + 5
        return f"synthesis.b{2 ** (index // 2)}.conv{index % 2}.noise_const"
    for pattern, place in _PLACES[kind].items():
        if found := re.fullmatch(pattern, name):
            if place is None:
                return None
            block, _, leaf = found.expand(place).rpartition(".")
            return f"{block}.{_LEAVES.get(leaf, leaf)}"
    if "StyleMod" in name:
        raise CheckpointError("it is a StyleGAN of 2018 (version 1): only StyleGAN2 networks can be loaded")
    raise CheckpointError(f"its {kind} has a variable {name!r}, which no StyleGAN2 {kind} has")


def _our_layout(name: str, ours: str, array: np.ndarray) -> np.ndarray:
    leading = {"noise_const": (1, 1), "const": (1,)}.get(ours.rpartition(".")[2], ())
    wrong_shape = leading and (array.ndim != 4 or array.shape[: len(leading)] != leading)
    if array.dtype.kind != "f" or wrong_shape:
        raise CheckpointError(
            f"its variable {name} has shape {list(array.shape)} and type {array.dtype}: it is damaged"
        )
    if leading:
        return array[(0,) * len(leading)]
    if ours.endswith("affine.bias"):
        return array + 1
    if array.ndim == 4:
        # Upsampling layers convolve, the others correlate: kernels are stored the other way round.
        upsamples = re.match(r"synthesis\.b\d+\.(conv0|skip)\.", ours)
        return (array[::-1, ::-1] if upsamples else array).transpose(3, 2, 0, 1)
    return array.T


def _given_arguments(static: dict[Any, Any], kind: _Kind) -> dict[str, Any]:
    groups = ("mapping_kwargs", "synthesis_kwargs") if kind == "generator" else ("block_kwargs", "epilogue_kwargs")
    arguments: dict[str, Any] = {"img_resolution": 1024, "mapping_kwargs": {}, **{group: {} for group in groups}}
    known = _ARGUMENTS[kind]
    for name, value in static.items():
        if name in known:
            *group, ours = known[name].split(".")
            (arguments[group[0]] if group else arguments)[ours] = to_number(value)
        elif name not in _IGNORED and not (name == "normalize_latents" and value is True):
            raise CheckpointError(
                f"its {kind} has an argument {name!r:.80}, which is unknown and may change its results"
            )
    if type(arguments["img_resolution"]) is not int:
        raise CheckpointError("its resolution is no number")
    return arguments


def _infer_arguments(
    arguments: dict[str, Any], kind: _Kind, arrays: dict[str, np.ndarray], function: Any, normalises_jointly: bool
) -> None:
    """Arguments from names and shapes, and defaults that differ from this package's."""
    widths = arguments["synthesis_kwargs"] if kind == "generator" else arguments
    if type(base := widths.get("channel_base")) is int:
        widths["channel_base"] = 2 * base
    has_skip = any(".skip." in name for name in arrays)
    rgb = "synthesis.b4.torgb.weight" if kind == "generator" else "b4.fromrgb.weight"
    widths["architecture"] = "resnet" if has_skip else "skip" if rgb in arrays else "orig"
    mapping = arguments["mapping_kwargs"]
    for ours, layer in (("embed_features", "mapping.embed"), ("layer_features", "mapping.fc0")):
        if f"{layer}.bias" in arrays:
            mapping[ours] = arrays[f"{layer}.bias"].size
    if kind == "generator":
        if normalises_jointly:
            mapping["input_norm"] = "joint"
        return
    arguments["mapping_kwargs"] = {"num_layers": 0, "lr_multiplier": 0.1} | mapping
    if "mapping.embed.bias" in arrays:
        arguments["cmap_dim"] = arrays["b4.out.bias"].size if "b4.out.bias" in arrays else None
    elif arguments.get("c_dim"):
        raise CheckpointError(
            "it is a conditional discriminator of the original StyleGAN2, which does not embed labels: it cannot be "
            "converted"
        )
    if activation := arguments["block_kwargs"].get("activation"):
        for group in ("mapping_kwargs", "epilogue_kwargs"):
            arguments[group]["activation"] = activation
    group_size = None if function == "D_main" else 4  # ADA's default: the whole batch; that of the original: 4
    arguments["epilogue_kwargs"].setdefault("mbstd_group_size", group_size)
