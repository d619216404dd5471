"""Writing of files for torch.load, without torch: a ZIP archive of one pickle and the bytes of each tensor.

The pickle is written opcode by opcode, since the functions it names cannot be pickled where torch is not installed.
"""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_DATE = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same weights give the same file


def write_torch(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write nested dictionaries of float32 arrays as torch.save does; torch.load(weights_only=True) reads them."""
    storages: list[np.ndarray] = []
    content = pickle.PROTO + b"\x02" + _dictionary(tensors, storages) + pickle.STOP
    members = {"data.pkl": content, "byteorder": b"little"}
    members |= {f"data/{i}": array.tobytes() for i, array in enumerate(storages)}
    members["version"] = b"3\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", _DATE), data)


def _dictionary(tensors: Mapping[str, Any], storages: list[np.ndarray]) -> bytes:
    items = b"".join(
        _text(name) + (_tensor(value, storages) if isinstance(value, np.ndarray) else _dictionary(value, storages))
        for name, value in tensors.items()
    )
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS


def _tensor(array: np.ndarray, storages: list[np.ndarray]) -> bytes:
    """torch's call that rebuilds a tensor: storage, offset, shape, strides, requires_grad, hooks."""
    array = np.array(array, "<f4", order="C")
    storages.append(array)
    place = _text("storage") + _name("torch", "FloatStorage") + _text(str(len(storages) - 1)) + _text("cpu")
    storage = _tuple(place + _number(array.size)) + pickle.BINPERSID
    strides = tuple(stride // array.itemsize for stride in array.strides)
    hooks = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    arguments = storage + _number(0) + _numbers(array.shape) + _numbers(strides) + pickle.NEWFALSE + hooks
    return _name("torch._utils", "_rebuild_tensor_v2") + _tuple(arguments) + pickle.REDUCE


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(text.encode())) + text.encode()


def _number(number: int) -> bytes:
    return pickle.BININT + struct.pack("<i", number)


def _numbers(numbers: tuple[int, ...]) -> bytes:
    return _tuple(b"".join(map(_number, numbers)))


def _tuple(items: bytes) -> bytes:
    return pickle.MARK + items + pickle.TUPLE
