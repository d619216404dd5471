"""`NetworkData`: the arguments and arrays of one network, which every reader returns."""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stylegan2_flax import ops
from stylegan2_flax.checkpoints.state_dict import from_state_dict
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.generator import Generator
from stylegan2_flax.layers import FILTER
from stylegan2_flax.resample import Number


class CheckpointError(ValueError):
    """A file does not hold a network: it is damaged, hostile, or of another format or architecture."""


@dataclass(frozen=True)
class NetworkData:
    """One network as plain data: constructor arguments and arrays, under ADA's names and in torch's layout.

    Raises CheckpointError for an argument that the network does not have, or a value that it cannot have.
    """

    kind: Literal["generator", "discriminator"]
    init_kwargs: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        _check_arguments(self.kind, self.init_kwargs, _ARGUMENTS[self.kind])

    def build(self) -> Generator | Discriminator:
        """Create the network. Raises CheckpointError if arguments and arrays do not fit."""
        try:
            return from_state_dict(self.arrays, kind=self.kind, **self.init_kwargs)
        except ValueError as error:
            shown = textwrap.shorten(str(error), 1000, placeholder=" ...")
            raise CheckpointError(f"the file does not describe a {self.kind} that can be built: {shown}") from error


def resample_filters(names: Sequence[str], taps: Sequence[Number] | None = FILTER) -> dict[str, np.ndarray]:
    """The filters of a network with these arrays, for formats that do not store them, under their ADA names.

    taps: the network's resample_filter. Layers that do not resample hold the usual filter whatever the taps are.
    """
    resampling = np.asarray(ops.setup_filter(taps))
    usual = np.asarray(ops.setup_filter(FILTER))
    filters = {}
    for name in names:
        layer = re.fullmatch(r"((?P<synthesis>synthesis\.)?b\d+)\.(?P<layer>conv[01]?|skip|fromrgb)\.weight", name)
        if layer is None:
            continue
        resamples = ("conv0", "skip") if layer["synthesis"] else ("conv1", "skip")
        filters[name.replace(".weight", ".resample_filter")] = resampling if layer["layer"] in resamples else usual
        if layer["layer"] == "conv1":  # every block has one, but for the discriminator's last, which has no filter
            filters[f"{layer[1]}.resample_filter"] = resampling
    return filters


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_small_integer(value: Any) -> bool:
    return _is_integer(value) and value < 64


def _is_number(value: Any) -> bool:
    if _is_integer(value):
        return abs(value) < 2**31
    return isinstance(value, float) and (value == 0 or 1e-30 < abs(value) < 1e30)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 100


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_filter(value: Any) -> bool:
    taps = isinstance(value, list | tuple) and 1 <= len(value) <= 64 and all(map(_is_number, value))
    return value is None or (taps and max(map(abs, value)) < 1e6 and abs(sum(value)) > 1e-6)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


# The checks of every argument's value; the constructors check what sizes and names are possible.
_MAPPING = {
    "num_layers": _is_small_integer,
    "embed_features": _or_none(_is_integer),
    "layer_features": _or_none(_is_integer),
    "activation": _is_text,
    "lr_multiplier": _is_number,
    "input_norm": _is_text,
}
_WIDTHS = {
    "channel_base": _is_integer,
    "channel_max": _is_integer,
    "num_fp16_res": _is_integer,
    "architecture": _is_text,
    "conv_clamp": _or_none(_is_number),
}
_SIZES = {"c_dim": _is_integer, "img_resolution": _is_integer, "img_channels": _is_integer}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "generator": {
        **_SIZES,
        "z_dim": _is_integer,
        "w_dim": _is_integer,
        "mapping_kwargs": {**_MAPPING, "w_avg_beta": _or_none(_is_number)},
        "synthesis_kwargs": {
            **_WIDTHS,
            "resample_filter": _is_filter,
            "kernel_size": _is_small_integer,
            "use_noise": _is_flag,
            "activation": _is_text,
        },
    },
    "discriminator": {
        **_SIZES,
        **_WIDTHS,
        "cmap_dim": _or_none(_is_integer),
        "block_kwargs": {"activation": _is_text, "resample_filter": _is_filter},
        "mapping_kwargs": _MAPPING,
        "epilogue_kwargs": {
            "mbstd_group_size": _or_none(_is_integer),
            "mbstd_num_channels": _is_integer,
            "activation": _is_text,
        },
    },
}


def _check_arguments(place: str, given: Mapping[str, Any], checks: Mapping[str, Any]) -> None:
    if unknown := [key for key in given if key not in checks]:
        raise CheckpointError(
            f"its {place} has {unknown[0]!r:.80}, which no StyleGAN2 network here has and which may change its results"
        )
    for name, value in given.items():
        check = checks[name]
        if isinstance(check, Mapping):
            if value is None:
                continue
            if not isinstance(value, Mapping):
                raise CheckpointError(f"its {name} must be a dictionary")
            _check_arguments(name, value, check)
        elif not check(value):
            raise CheckpointError(f"its {place} has a value for {name} that cannot be used")
