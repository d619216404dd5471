"""Reading of files of torch.save without torch: the ZIP archive, and the legacy layout from before version 1.6.

The legacy layout is five pickles (a magic number, a version, facts of the system, the object, the keys of its
storages), then each storage as a 64-bit count and raw elements. It also stands inside pickles of tensors.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.numpy_pickles import NUMPY_CALLS, Budget, checked_sizes, to_array, to_number
from stylegan2_flax.checkpoints.stored_zip import members
from stylegan2_flax.checkpoints.unpickler import MAX_STEPS, PERSISTENT_ID, Call, FileData, Name, Unpickler

_PARAMETERS = frozenset({"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"})
_TENSORS = frozenset({"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"})
TENSOR_CALLS = _PARAMETERS | _TENSORS

_DTYPES = {
    "Float": "<f4",
    "Double": "<f8",
    "Half": "<f2",
    "BFloat16": "bfloat16",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "|i1",
    "Byte": "|u1",
    "Bool": "bool",
}
_STORAGES = {f"torch.{kind}Storage": dtype for kind, dtype in _DTYPES.items()}

# What stands beside the tensors of a training checkpoint.
_NAMESPACE = "argparse.Namespace"
_SIZE = "torch.Size"
_OTHERS = {"torch.device", *(f"torch.{kind}" for kind in ("float16", "bfloat16", "float32", "float64", "int64"))}
# Python's own, which programs keep beside the weights: only their names are kept. Protocol 2, which torch.save uses,
# writes int, str and range as long, unicode and xrange.
_BUILTINS = {
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in (
        *(
            "set",
            "frozenset",
            "complex",
            "bool",
            "bytes",
            "bytearray",
            "dict",
            "float",
            "int",
            "list",
            "object",
            "range",
        ),
        *("slice", "str", "tuple", "long", "unicode", "xrange", "getattr"),
    )
}
_LIBRARY = {
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(
        f"{module}.{prefix}{system}Path"
        for module in ("pathlib", "pathlib._local")
        for prefix in ("", "Pure")
        for system in ("", "Posix", "Windows")
    ),
}
_FILE_CALLS = (
    frozenset({PERSISTENT_ID, _NAMESPACE, _SIZE} | _OTHERS | _BUILTINS | _LIBRARY | _STORAGES.keys())
    | TENSOR_CALLS
    | NUMPY_CALLS
    | {"mmengine.*"}  # the log that MMagic keeps beside the weights
)
_SCRIPT_CLASS = "__torch__."

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_MAGIC_CODE = b"\x8a\x0a" + _MAGIC.to_bytes(10, "little")
_MAX_DEPTH, _MAX_MODULES = 32, 2_000
_MAX_KEY = 40
_MEMBER = rb"[^/]+/(data/\d*|byteorder|version|constants\.pkl|code/.*|\..*)?"
_STORAGE_STEPS = 200  # those of a storage alone take 60


@dataclass(frozen=True)
class Storage:
    """The elements behind one or more tensors."""

    data: memoryview
    dtype: str

    @property
    def itemsize(self) -> int:
        return _element(self.dtype).itemsize


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 1024 at least, is one of torch.save, in either layout."""
    if not head.startswith(b"PK\x03\x04"):
        return _MAGIC_CODE in head[:32]
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]  # packed anew, the members are in any order
    return b"/data.pkl" in head[:1024] or re.fullmatch(_MEMBER, first) is not None


def read_torch(data: FileData) -> Any:
    """Read a file of torch.save or torch.jit.save: dictionaries, lists, tuples, numbers, text, NumPy arrays.

    Arrays are read-only views of `data`, but for compressed ones; those of bfloat16 become float32. A Namespace becomes
    a dictionary, other classes of torch and Python (devices, sets, paths) their names, a TorchScript module its state
    dict. Raises CheckpointError, and nothing else, for a file that cannot be read.
    """
    value, storage_of = read_objects(data)
    return _Converter(storage_of, Budget(len(data))).convert(value)


def read_objects(data: FileData, calls: frozenset[str] = frozenset()) -> tuple[Any, Callable[[Any], Storage]]:
    """Read a file of torch.save or torch.jit.save, whose objects may be made by further calls.

    Returns what it holds, with a `Call` for each object, and what finds the storage that a tensor's call names. Raises
    CheckpointError, and nothing else, for a file that cannot be read.
    """
    view = memoryview(data).toreadonly()
    if bytes(view[:2]) == b"PK":
        return _read_archive(view, _FILE_CALLS | calls)
    return _read_legacy(view, _FILE_CALLS | calls)


def storage_from_bytes(data: memoryview | bytes) -> Storage:
    """The storage in the bytes that torch.storage._load_from_bytes takes: a legacy file of nothing else."""
    value, storage_of = _read_legacy(memoryview(data), _FILE_CALLS, _STORAGE_STEPS)
    return storage_of(value)


def to_tensor(value: Any, storage_of: Callable[[Any], Storage], budget: Budget) -> np.ndarray:
    """The array that the calls of TENSOR_CALLS describe, as a read-only view of its storage."""
    if isinstance(value, Call) and value.name in _PARAMETERS and value.args:
        value = value.args[0]
    if not isinstance(value, Call) or value.name not in _TENSORS or len(value.args) < 4:
        raise CheckpointError("something else stands where a tensor is expected")
    storage, offset, shape, strides = storage_of(value.args[0]), *value.args[1:4]
    (offset,), strides = checked_sizes((offset,), "offset"), checked_sizes(strides, "strides")
    shape = checked_sizes(shape, "shape")
    if len(shape) != len(strides):
        raise CheckpointError("a tensor has more or fewer strides than sizes")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= len(storage.data) // storage.itemsize:
        raise CheckpointError(f"a tensor of shape {list(shape)} reaches beyond its storage")
    return _view(storage, offset, shape, strides, budget)


def _element(dtype: str) -> np.dtype:
    """The dtype to read elements with: NumPy has no bfloat16, and accepts any byte as a boolean."""
    return np.dtype({"bfloat16": "<u2", "bool": "|u1"}.get(dtype, dtype))


def _view(
    storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], budget: Budget
) -> np.ndarray:
    element = _element(storage.dtype)
    if 0 in shape:
        array = np.empty(shape, element)
    else:
        size = element.itemsize
        array = np.ndarray(shape, element, storage.data, offset * size, tuple(n * size for n in strides))
    budget.spend(array.nbytes * (2 if storage.dtype == "bfloat16" else 1))
    if storage.dtype == "bfloat16":
        array = np.left_shift(array, 16, dtype="<u4", out=np.empty(shape, "<u4")).view("<f4")
    if storage.dtype == "bool":
        array = np.not_equal(array, 0, out=np.empty(shape, bool))
    array.flags.writeable = False
    return array


def _read_archive(data: memoryview, calls: frozenset[str]) -> tuple[Any, Callable[[Any], Storage]]:
    archive = members(data)
    prefix = next((name[: -len("data.pkl")] for name in archive if name.endswith("data.pkl")), None)
    if prefix is None:
        raise CheckpointError("it is a ZIP archive, but none that torch.save wrote: it has no data.pkl")
    is_script = f"{prefix}constants.pkl" in archive
    if bytes(archive.get(f"{prefix}byteorder", memoryview(b"little"))[:6]) != b"little":
        raise CheckpointError("it was written on a big-endian machine: save it again on a little-endian one")

    def storage_of(value: Any) -> Storage:
        kind, key, count = _checked_id(value)
        storage = Storage(archive.get(f"{prefix}data/{key}", memoryview(b"")), kind)
        if len(storage.data) != count * storage.itemsize:
            raise CheckpointError(f"its storage {key!r} is missing or has another size than it should")
        return storage

    if is_script:
        calls |= {f"{_SCRIPT_CLASS}*"}
    value = Unpickler(archive[f"{prefix}data.pkl"], calls).load()
    return (_state_dict(value, set()) if is_script else value), storage_of


def _state_dict(script: Any, seen: set[int]) -> dict[str, Any]:
    """The tensors of a TorchScript module and of those within it, by their dotted names; its program is not read."""
    if not isinstance(script, Call) or not script.name.startswith(_SCRIPT_CLASS) or not isinstance(script.state, dict):
        raise CheckpointError("it is a TorchScript archive, but not of a module: save the network's state_dict()")
    if id(script) in seen or len(seen) > _MAX_MODULES:
        raise CheckpointError("its modules are not those of a network: one contains itself, or stands in two places")
    seen.add(id(script))
    found = {}
    for name, value in script.state.items():
        if isinstance(value, Call) and value.name.startswith(_SCRIPT_CLASS):
            found |= {f"{name}.{inner}": tensor for inner, tensor in _state_dict(value, seen).items()}
        elif isinstance(value, Call) and value.name in TENSOR_CALLS:
            found[str(name)] = value
    return found


def _read_legacy(
    data: memoryview, calls: frozenset[str], max_steps: int = MAX_STEPS
) -> tuple[Any, Callable[[Any], Storage]]:
    position, parts, ids = 0, [], []
    for _ in range(5):
        unpickler = Unpickler(data, calls, position)
        parts.append(unpickler.load(max_steps))
        position, ids = unpickler.position, ids + unpickler.persistent_ids
        if not isinstance(parts[0], int) or parts[0] != _MAGIC:
            raise CheckpointError("it is no file of torch.save: the magic number is missing")
    _, version, system, value, keys = parts
    if version != _VERSION or not isinstance(system, dict) or not isinstance(keys, list):
        raise CheckpointError("it is a file of torch.save, but of an unknown version")
    if system.get("little_endian") is not True:
        raise CheckpointError("it was written on a big-endian machine: save it again on a little-endian one")
    kinds = {key: kind for kind, key, _ in (_checked_id(Call(PERSISTENT_ID, (pid,))) for pid in ids)}
    storages = {}
    for key in keys:
        if not isinstance(key, str) or key not in kinds:
            raise CheckpointError("its list of storages is damaged")
        storages[key], position = _stored(data, position, kinds[key])

    def storage_of(value: Any) -> Storage:
        kind, key, count = _checked_id(value)
        storage = storages.get(key)
        if storage is None or storage.dtype != kind or len(storage.data) != count * storage.itemsize:
            raise CheckpointError(f"its storage {key!r} is missing or has another size than it should")
        return storage

    return value, storage_of


def _stored(data: memoryview, position: int, kind: str) -> tuple[Storage, int]:
    start = position + 8
    if start > len(data):
        raise CheckpointError("it is cut short: a storage is missing; get the file again")
    size = struct.unpack_from("<q", data, position)[0] * _element(kind).itemsize
    if not 0 <= size <= len(data) - start:
        raise CheckpointError("it is cut short: a storage has fewer elements than it should; get the file again")
    return Storage(data[start : start + size], kind), start + size


def _checked_id(value: Any) -> tuple[str, str, int]:
    """Kind, key and number of elements from a persistent id: ('storage', class, key, device, count[, view])."""
    pid = value.args[0] if isinstance(value, Call) and value.name == PERSISTENT_ID else None
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or pid[5:] not in ((), (None,)):
        raise CheckpointError("something else stands where the storage of a tensor is expected")
    _, kind, key, _, count = pid[:5]
    if not isinstance(kind, Name) or kind.dotted not in _STORAGES:
        raise CheckpointError("a tensor's storage is of a kind that cannot be read")
    if not isinstance(key, str) or len(key) > _MAX_KEY or type(count) is not int:
        raise CheckpointError("a tensor's storage is damaged: its key or size is none")
    return _STORAGES[kind.dotted], key, count


class _Converter:
    """Converts the result of an unpickler to plain data, each object once."""

    def __init__(self, storage_of: Callable[[Any], Storage], budget: Budget):
        self._storage_of, self._budget = storage_of, budget
        self._done: dict[int, Any] = {}

    def convert(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, Name):
            return value.dotted
        if not isinstance(value, dict | list | tuple | memoryview | Call):
            return value
        if id(value) not in self._done:
            if depth == _MAX_DEPTH:
                raise CheckpointError(f"its data are nested more than {_MAX_DEPTH} levels deep, or contain themselves")
            self._done[id(value)] = self._container(value, depth + 1)
        return self._done[id(value)]

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {key: self.convert(item, depth) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self.convert(item, depth) for item in value])
        if isinstance(value, memoryview):
            return bytes(value)
        if value.name in TENSOR_CALLS:
            return to_tensor(value, self._storage_of, self._budget)
        if value.name == _NAMESPACE:
            return self.convert(value.state, depth)
        if value.name == _SIZE:
            return self.convert(value.args[0] if value.args else (), depth)
        if value.name.endswith(".multiarray.scalar"):
            return to_number(value)
        if value.name.endswith(("._reconstruct", "._frombuffer")):
            return to_array(value, self._budget)
        return value.name
