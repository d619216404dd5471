"""State dicts of projects that build on rosinality's stylegan2-pytorch, renamed to its names.

pSp, e4e and ReStyle keep the generator under `decoder.`, DualStyleGAN under `generator.`, and DataParallel adds
`module.`. BasicSR (with GFPGAN, under `stylegan_decoder.`) and MMGeneration name the same arrays differently. A network
is found by one array that only it has, its marker. The text before the marker's name is the network's prefix; arrays
without that prefix (an encoder, an optimizer, restoration layers) are ignored.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stylegan2_flax.checkpoints.network_data import CheckpointError

# Regular expressions and replacements, applied in order to each name.
_BASICSR = (
    (r"style_mlp\.", "style."),
    (r"constant_input\.weight", "input.input"),
    (r"style_conv(s\.|1\.)", r"conv\1"),
    (r"\.modulated_conv\.", ".conv."),
    (r"^(conv1|convs\.\d+)\.weight$", r"\1.noise.weight"),
    (r"^noises\.noise(\d+)$", r"noises.noise_\1"),
    (r"\.smooth\.kernel$", ".blur.kernel"),
)
_MMGENERATION = (
    (r"^style_mapping\.", "style."),
    (r"^constant_input\.(input|const)$", "input.input"),
    (r"\.linear\.weight_orig$", ".weight"),
    (r"\.weight_orig$", ".weight"),
    (r"\.style_modulation\.", ".modulation."),
    (r"\.noise_injector\.", ".noise."),
    (r"^injected_noise_(\d+)$", r"noises.noise_\1"),
    (r"^w_avg$", "latent_avg"),
)
# From the marker of each project's network to how its names are changed.
_GENERATORS = {
    "conv1.conv.weight": (),
    "style_conv1.modulated_conv.weight": _BASICSR,
    "conv1.conv.weight_orig": _MMGENERATION,
    "conv1.conv.style_modulation.bias": _MMGENERATION,
}
_DISCRIMINATORS = {
    "convs.0.0.weight": (),
    "conv_body.0.0.weight": ((r"^conv_body\.", "convs."),),
    "convs.0.0.conv.weight_orig": ((r"\.(conv|linear)\.weight_orig$", ".weight"),),
}
_MARKERS = {**_GENERATORS, **_DISCRIMINATORS}

# Names that only networks of other architectures have, and what those are.
_OTHERS = {
    r"(.*\.)?(dwt|iwt)\.\w+": "a SWAGAN, which generates wavelet coefficients",
    r"(.*\.)?synthesis\.L\d+_\d+_\d+\..*": "a StyleGAN3",
    r"(GAN\.)?(S|SE|G|GE|D)\.(net|initial_block|blocks|to_initial_block)\b.*": (
        "a network of lucidrains' stylegan2_pytorch, which has other layers"
    ),
    r"(.*\.)?style_conv1\.bias": (
        "GFPGAN's clean version, which upsamples bilinearly (GFPGANv1.pth holds a StyleGAN2)"
    ),
}
_MAX_DEPTH, _MAX_NAMES = 4, 100_000


def networks(content: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """The networks in a file, under "G_ema", "G" and "D", each with its arrays under rosinality's names.

    content: nested dictionaries of arrays, or one dictionary with dotted names.
    Raises CheckpointError, which names the project, if a network is known not to be a StyleGAN2.
    """
    flat = dict(_flat(content))
    found: dict[str, dict[str, Any]] = {}
    for prefix, marker in _locations(flat):
        which = "D" if marker in _DISCRIMINATORS else "G_ema" if re.search(r"ema\b", prefix) else "G"
        if which not in found:
            found[which] = _renamed(flat, prefix, marker)
    if "G_ema" not in found and "G" in found:
        found["G_ema"] = found["G"]
    return {which: found[which] for which in ("G_ema", "G", "D") if which in found}


def network(given: Mapping[str, Any]) -> dict[str, Any]:
    """One network's arrays under rosinality's names; unchanged if it has no known marker."""
    location = next(_locations(given), None)
    return dict(given) if location is None else _renamed(given, *location)


def mean_latent(content: Mapping[Any, Any]) -> Any:
    """The file's latent_avg, which lies beside the networks or within one; None if there is none."""
    found = [(name, array) for name, array in _flat(content) if name.rpartition(".")[2] == "latent_avg"]
    return min(found, key=lambda pair: len(pair[0]))[1] if found else None


def refuse_others(content: Mapping[Any, Any]) -> None:
    """Raises CheckpointError if the names are those of another architecture."""
    for name, _ in _flat(content):
        for pattern, project in _OTHERS.items():
            if re.fullmatch(pattern, name):
                raise CheckpointError(
                    f"it is {project}: only StyleGAN2 networks can be loaded; use that project's own code for this file"
                )


def _locations(flat: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The prefix and the marker of each network, the shortest names first."""
    for name in sorted((name for name in flat if name.endswith(tuple(_MARKERS))), key=len):
        for marker in _MARKERS:
            if name == marker or name.endswith(f".{marker}"):
                yield name.removesuffix(marker), marker


def _renamed(flat: Mapping[str, Any], prefix: str, marker: str) -> dict[str, Any]:
    inner = {name[len(prefix) :]: array for name, array in flat.items() if name.startswith(prefix)}
    refuse_others(inner)
    renamed = {}
    for name, array in inner.items():
        ours = name
        for pattern, replacement in _MARKERS[marker]:
            ours = re.sub(pattern, replacement, ours)
        if ours in renamed:
            raise CheckpointError(f"its arrays are not those of one network: two of them are {ours:.80}")
        renamed[ours] = array
    return renamed


def _flat(content: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries by dotted names. Keys that are no text (an optimizer's state) are skipped."""
    pending, count = [("", 0, content)], 0
    while pending:
        prefix, depth, mapping = pending.pop()
        for name, value in mapping.items():
            count += 1
            if count > _MAX_NAMES:
                raise CheckpointError(f"it holds more than {_MAX_NAMES} things, which no checkpoint does")
            if not isinstance(name, str):
                continue
            if isinstance(value, Mapping) and depth < _MAX_DEPTH:
                pending.append((f"{prefix}{name}.", depth + 1, value))
            else:
                yield prefix + name, value
