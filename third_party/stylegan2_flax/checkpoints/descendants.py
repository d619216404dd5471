"""State dicts of the projects that build on rosinality's code, brought to its names.

pSp, e4e and ReStyle keep a generator under `decoder.`, DualStyleGAN under `generator.`, DataParallel under `module.`.
BasicSR (and GFPGAN, under `stylegan_decoder.`) and MMGeneration have names of their own for the same arrays. A network
is found by the name of one of its arrays; what stands before that name is taken off, and what does not begin so is left
alone: an encoder, an optimizer, the layers that restore or restyle.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stylegan2_flax.checkpoints.network_data import CheckpointError

# The name that tells a network, and what becomes of its names.
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
_GENERATORS = {
    "conv1.conv.weight": (),
    "style_conv1.modulated_conv.weight": _BASICSR,
    "conv1.conv.weight_orig": _MMGENERATION,
    "conv1.conv.style_modulation.bias": _MMGENERATION,
}
_DISCRIMINATORS = {
    "final_conv.0.weight": ((r"^conv_body\.", "convs."),),
    "final_conv.0.conv.weight_orig": ((r"\.(conv|linear)\.weight_orig$", ".weight"),),
}
_MARKS = {**_GENERATORS, **_DISCRIMINATORS}

# Projects whose networks are no StyleGAN2: names that only they have.
_OTHERS = {
    r"(.*\.)?(dwt|iwt)\.\w+": "a SWAGAN, which makes wavelets",
    r"(.*\.)?synthesis\.L\d+_\d+_\d+\..*": "a StyleGAN3, which is free of aliasing",
    r"(GAN\.)?(S|SE|G|GE|D)\.(net|initial_block|blocks|to_initial_block)\b.*": (
        "of lucidrains' stylegan2_pytorch, whose layers and noise are others"
    ),
    r"(.*\.)?style_conv1\.bias": (
        "of GFPGAN's clean version, which enlarges by bilinear interpolation (GFPGANv1.pth, the first, does not)"
    ),
}
_MAX_DEPTH, _MAX_NAMES = 4, 100_000


def networks(content: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """The networks in a file, as G_ema, G and D, each with its arrays under rosinality's names.

    content: dictionaries of arrays within one another, or one dictionary with dotted names.
    Raises CheckpointError that names the project where it is known that a network is no StyleGAN2.
    """
    flat = dict(_flat(content))
    found: dict[str, dict[str, Any]] = {}
    for prefix, mark in _places(flat):
        which = "D" if mark in _DISCRIMINATORS else "G_ema" if re.search(r"ema\b", prefix) else "G"
        if which not in found:
            found[which] = _renamed(flat, prefix, mark)
    if "G_ema" not in found and "G" in found:
        found["G_ema"] = found["G"]
    return {which: found[which] for which in ("G_ema", "G", "D") if which in found}


def network(given: Mapping[str, Any]) -> dict[str, Any]:
    """One network's arrays under rosinality's names; those of a network that is not known stay as they are."""
    place = next(_places(given), None)
    return dict(given) if place is None else _renamed(given, *place)


def mean_latent(content: Mapping[Any, Any]) -> Any:
    """What the file holds as latent_avg, beside the networks or within them; None where there is nothing."""
    found = [(name, array) for name, array in _flat(content) if name.rpartition(".")[2] == "latent_avg"]
    return min(found, key=lambda pair: len(pair[0]))[1] if found else None


def refuse_others(content: Mapping[Any, Any]) -> None:
    """Raises CheckpointError where names are those of a network that is known to be no StyleGAN2."""
    for name, _ in _flat(content):
        for pattern, project in _OTHERS.items():
            if re.fullmatch(pattern, name):
                raise CheckpointError(f"it is {project}: only StyleGAN2 networks can be loaded")


def _places(flat: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What stands before each network's names, the shortest first, and the name that tells which project's it is."""
    ends = tuple(_MARKS)
    for name in sorted((name for name in flat if name.endswith(ends)), key=len):
        for mark in _MARKS:
            if name == mark or name.endswith(f".{mark}"):
                yield name.removesuffix(mark), mark


def _renamed(flat: Mapping[str, Any], prefix: str, mark: str) -> dict[str, Any]:
    inner = {name[len(prefix) :]: array for name, array in flat.items() if name.startswith(prefix)}
    refuse_others(inner)
    renamed = {}
    for name, array in inner.items():
        ours = name
        for pattern, replacement in _MARKS[mark]:
            ours = re.sub(pattern, replacement, ours)
        if ours in renamed:
            raise CheckpointError(f"its arrays are not those of one network: two stand for {ours:.80}")
        renamed[ours] = array
    return renamed


def _flat(content: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """What is in dictionaries within one another, by dotted names, without what has numbers for names (optimizers)."""
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
