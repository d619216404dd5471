"""Networks of NVIDIA's PyTorch code: stylegan2-ada-pytorch, and the StyleGAN2 networks of the stylegan3 repository.

A file is a pickle, a dictionary of networks G, D and G_ema. Each module in them, at every depth, is a call that would
compile the source text stored beside it; here the text stays text, and the module's attributes are looked through.
Programs that build on that code, such as PTI, save a network whole by torch.save: the same calls, tensors beside them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stylegan2_flax.checkpoints import torch_files
from stylegan2_flax.checkpoints.network_data import CheckpointError, NetworkData
from stylegan2_flax.checkpoints.numpy_pickles import NUMPY_CALLS, Budget, to_bytes, to_number
from stylegan2_flax.checkpoints.torch_files import TENSOR_CALLS, Storage, storage_from_bytes, to_tensor
from stylegan2_flax.checkpoints.unpickler import Call, FileData, Unpickler

_MODULE = "torch_utils.persistence._reconstruct_persistent_obj"
_STORAGE = "torch.storage._load_from_bytes"
_CALLS = (
    frozenset({_MODULE, _STORAGE, "torch.Size", "torch.device", "torch.float16", "torch.float32", "torch.float64"})
    | {"builtins.set", "__builtin__.set"}
    | TENSOR_CALLS
    | NUMPY_CALLS
)

_CLASSES: dict[str, Literal["generator", "discriminator"]] = {
    "Generator": "generator",
    "Discriminator": "discriminator",
}
_POSITIONAL = {
    "generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs"),
    "discriminator": (
        *("c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max", "num_fp16_res"),
        *("conv_clamp", "cmap_dim", "block_kwargs", "mapping_kwargs", "epilogue_kwargs"),
    ),
}

# How NVIDIA's code computes or trains, not what.
_IMPLEMENTATION = frozenset({"fused_modconv_default", "fp16_channels_last", "channels_last", "freeze_layers"})

_MAX_DEPTH = 8
# Above those of any network, and small enough for a file that refers to everything many times.
_MAX_ENTRIES, _MAX_MODULES, _MAX_TENSORS = 200, 2_000, 10_000


@dataclass(frozen=True)
class _Module:
    """One torch module: its class and its attributes."""

    class_name: str
    attributes: dict[str, Any]

    def entries(self, group: str) -> dict[str, Any]:
        """The entries of _parameters, _buffers or _modules that are not None."""
        entries = self.attributes.get(group)
        if not isinstance(entries, dict) or len(entries) > _MAX_ENTRIES:
            raise CheckpointError(f"a module in it is damaged: it has no {group}, or too many")
        if not all(isinstance(name, str) and re.fullmatch(r"\w{1,64}", name) for name in entries):
            raise CheckpointError(f"a module in it is damaged: {group} has names that no module has")
        return {name: value for name, value in entries.items() if value is not None}

    def setting(self, name: str) -> Any:
        """The value of a constructor argument, given or default; None if the module does not store it."""
        arguments = self.attributes.get("_init_kwargs")
        given = arguments.get(name) if isinstance(arguments, dict) else None
        return to_number(self.attributes.get(name, given))


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 64 KiB at least, is a pickle of NVIDIA's PyTorch code."""
    return head.startswith(b"\x80") and b"torch_utils.persistence" in head and not recognises_saved(head)


def recognises_saved(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 64 KiB at least, is of networks that torch.save wrote whole."""
    return torch_files.recognises(head) and b"torch_utils.persistence" in head


def read(data: FileData, which: str | None = None) -> NetworkData:
    """One network of a pickle. which: "G_ema", "G" or "D"; None: the first of these that it has.

    Arrays are read-only views of `data`. Raises CheckpointError, and nothing else, for a file that cannot be used.
    """
    view, budget = memoryview(data).toreadonly(), Budget(len(data))

    def storage_of(value: Any) -> Storage:
        if not isinstance(value, Call) or value.name != _STORAGE or len(value.args) != 1:
            raise CheckpointError("something else stands where the storage of a tensor is expected")
        return storage_from_bytes(to_bytes(value.args[0], budget))

    return _network(Unpickler(view, _CALLS).load(), which, storage_of, budget)


def read_saved(data: FileData, which: str | None = None) -> NetworkData:
    """One network of a file of torch.save; see `read`."""
    value, storage_of = torch_files.read_objects(data, _CALLS)
    return _network(value, which, storage_of, Budget(len(data)))


def _network(pickled: Any, which: str | None, storage_of: Callable[[Any], Storage], budget: Budget) -> NetworkData:
    root = _chosen(pickled, which)
    modules = dict(_walk(root, "", set()))
    _refuse_other_architectures(modules)
    kind = _CLASSES[root.class_name]
    return NetworkData(kind, _arguments(kind, modules), _arrays(modules, storage_of, budget))


def _chosen(pickled: Any, which: str | None) -> _Module:
    if isinstance(pickled, Call):  # a network alone
        module = _module(pickled)
        named = {"D": module} if module.class_name == "Discriminator" else {"G_ema": module, "G": module}
    elif isinstance(pickled, dict):
        named = {name: pickled[name] for name in ("G_ema", "G", "D") if isinstance(pickled.get(name), Call)}
    else:
        named = {}
    if not named:
        raise CheckpointError("it is a pickle, but none of networks by NVIDIA: it has no G_ema, G or D")
    if which is not None and which not in named:
        raise CheckpointError(f"it has no network {which}: choose from {', '.join(named)}")
    chosen = named[which or next(iter(named))]
    return chosen if isinstance(chosen, _Module) else _module(chosen)


def _module(value: Any) -> _Module:
    meta = value.args[0] if isinstance(value, Call) and value.name == _MODULE and len(value.args) == 1 else None
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise CheckpointError("something else stands where a module of a network is expected")
    class_name, attributes = meta.get("class_name"), meta.get("state")
    if not isinstance(class_name, str) or not isinstance(attributes, dict):
        raise CheckpointError("a module in it is damaged: it has no class name or no attributes")
    return _Module(class_name[:80], attributes)


def _walk(module: _Module, name: str, seen: set[int], depth: int = 0) -> Iterator[tuple[str, _Module]]:
    """Yield the module ("") and all modules in it, with their dotted names."""
    if depth > _MAX_DEPTH or len(seen) > _MAX_MODULES or id(module.attributes) in seen:
        raise CheckpointError("its modules are not those of a network: one contains itself, or stands in two places")
    seen.add(id(module.attributes))
    yield name, module
    for child, value in module.entries("_modules").items():
        yield from _walk(_module(value), f"{name}.{child}".lstrip("."), seen, depth + 1)


def _refuse_other_architectures(modules: dict[str, _Module]) -> None:
    if any(re.match(r"synthesis\.(input|L\d+_\d+_\d+)\b", name) for name in modules):
        raise CheckpointError(
            "it is a StyleGAN3 generator (alias-free): only StyleGAN2 networks can be loaded, also those that the "
            "stylegan3 repository trains with --cfg=stylegan2"
        )
    if (class_name := modules[""].class_name) not in _CLASSES:
        raise CheckpointError(
            f"its network is a {class_name!r}: only StyleGAN2's Generator and Discriminator are known"
        )


def _arrays(modules: dict[str, _Module], storage_of: Callable[[Any], Storage], budget: Budget) -> dict[str, np.ndarray]:
    tensors = {
        f"{place}.{name}".lstrip("."): tensor
        for place, module in modules.items()
        for group in ("_parameters", "_buffers")
        for name, tensor in module.entries(group).items()
    }
    if len(tensors) > _MAX_TENSORS:
        raise CheckpointError(f"it has {len(tensors)} tensors; a network has at most {_MAX_TENSORS}")
    return {name: to_tensor(tensor, storage_of, budget) for name, tensor in tensors.items()}


def _arguments(kind: Literal["generator", "discriminator"], modules: dict[str, _Module]) -> dict[str, Any]:
    """The arguments of the constructor, positional or by keyword."""
    attributes = modules[""].attributes
    positional, keywords = attributes.get("_init_args", ()), attributes.get("_init_kwargs")
    if not isinstance(positional, tuple | list) or not isinstance(keywords, dict):
        raise CheckpointError("its network is damaged: the arguments that it was made with are missing")
    if len(positional) > len(_POSITIONAL[kind]) or len(keywords) > _MAX_ENTRIES:
        raise CheckpointError(f"its {kind} was made with more arguments than one has")
    given = dict(zip(_POSITIONAL[kind], positional, strict=False)) | keywords
    arguments = {name: _settings(value) for name, value in given.items() if name not in _IMPLEMENTATION}
    if kind == "discriminator":
        return _defaults(modules) | arguments
    mapping, within = _group(arguments, "mapping_kwargs"), _group(arguments, "synthesis_kwargs")
    if (beta := modules["mapping"].setting("w_avg_beta") if "mapping" in modules else None) is not None:
        mapping = {"w_avg_beta": beta} | mapping
    # The stylegan3 repository gives the synthesis network's arguments beside the generator's own.
    synthesis = {name: arguments.pop(name) for name in list(arguments) if name not in _POSITIONAL[kind]}
    return {**arguments, "mapping_kwargs": mapping, "synthesis_kwargs": _defaults(modules) | synthesis | within}


def _group(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    group = arguments.pop(name, None)
    if group is not None and not isinstance(group, dict):
        raise CheckpointError(f"its network is damaged: {name} is no dictionary")
    return group or {}


def _settings(value: Any) -> Any:
    """A value of an argument, or a dictionary of such values without those that change no result."""
    if not isinstance(value, dict):
        return to_number(value)
    if len(value) > _MAX_ENTRIES:
        raise CheckpointError("its network was made with more arguments than one has")
    return {name: to_number(item) for name, item in value.items() if name not in _IMPLEMENTATION}


def _defaults(modules: dict[str, _Module]) -> dict[str, Any]:
    """Default arguments, read from the layers, since the two repositories differ."""
    clamps = {clamp for module in modules.values() if isinstance(clamp := module.setting("conv_clamp"), int | float)}
    blocks = [module for name, module in modules.items() if re.fullmatch(r"(synthesis\.)?b\d+", name)]
    half = sum(block.setting("use_fp16") is True for block in blocks)
    return ({"num_fp16_res": half} if half else {}) | ({"conv_clamp": clamps.pop()} if len(clamps) == 1 else {})
