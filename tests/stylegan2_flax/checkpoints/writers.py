"""Writers of other programs' files without those programs: pickles with any names in them, and torch.save's layouts."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

DTYPES = {
    "f4": "Float",
    "f8": "Double",
    "f2": "Half",
    "i8": "Long",
    "i4": "Int",
    "i2": "Short",
    "i1": "Char",
    "u1": "Byte",
    "b1": "Bool",
}


@dataclass(frozen=True)
class Named:
    """A class or function that is pickled by name, whether it exists or not."""

    module: str
    name: str

    def __call__(self):
        raise AssertionError("only its name is of interest")


named = cache(Named)  # one object for each name, so that a pickle names it once and refers back


@dataclass(frozen=True, eq=False)
class Called:
    """What a pickle makes by a call: `function(*args)`, then perhaps `__setstate__(state)`."""

    function: Named
    args: tuple[Any, ...]
    state: Any = None


class EasyDict(dict):
    """NVIDIA's dictionary, which is pickled as an object of a class."""


@dataclass(frozen=True, eq=False)
class Storage:
    """Elements that torch keeps outside the pickle."""

    elements: np.ndarray
    kind: str
    key: str = field(default="")


PICKLER: Any = pickle._Pickler  # the one in C cannot be given names that do not exist


class Pickler(PICKLER):
    """Pickles Named, Called, EasyDict and, by persistent ids, Storage."""

    dispatch: Any = dict(PICKLER.dispatch)  # noqa: RUF012
    legacy = False

    def __init__(self, file: io.BytesIO, protocol: int):
        super().__init__(file, protocol)
        self.storages: dict[int, Storage] = {}

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Storage):
            return None
        self.storages.setdefault(id(obj), obj)
        key = obj.key or str(list(self.storages).index(id(obj)))
        view = (None,) if self.legacy else ()
        return ("storage", named("torch", f"{obj.kind}Storage"), key, "cpu", obj.elements.size, *view)

    def save_named(self, obj: Named) -> None:
        if self.proto >= 4:
            self.save(obj.module)
            self.save(obj.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_called(self, obj: Called) -> None:
        self.save_reduce(obj.function, obj.args, obj.state, obj=obj)

    def save_easy_dict(self, obj: EasyDict) -> None:
        self.save(named("dnnlib.util", "EasyDict"))
        self.save(())
        self.write(pickle.NEWOBJ)
        self.memoize(obj)
        self._batch_setitems(obj.items())

    dispatch[Named] = save_named
    dispatch[Called] = save_called
    dispatch[EasyDict] = save_easy_dict


class LegacyPickler(Pickler):
    legacy = True


def pickled(value: Any, protocol: int = 4) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def tensor(array: np.ndarray, kind: str | None = None) -> Called:
    """The call that rebuilds a tensor; kind: of its storage, where the dtype does not say it."""
    elements = np.ascontiguousarray(array)
    return tensor_of(Storage(elements, kind or DTYPES[array.dtype.str[1:]]), 0, array.shape, _strides(array.shape))


def tensor_of(storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Called:
    arguments = (storage, offset, shape, strides, False, OrderedDict())
    return Called(named("torch._utils", "_rebuild_tensor_v2"), arguments)


def torch_zip(value: Any, protocol: int = 2, compression: int = zipfile.ZIP_STORED) -> bytes:
    """What torch.save writes today. Arrays in dictionaries and lists become tensors."""
    content = io.BytesIO()
    pickler = Pickler(content, protocol)
    pickler.dump(with_tensors(value))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content.getvalue())
        archive.writestr("archive/byteorder", "little")
        for i, storage in enumerate(pickler.storages.values()):
            archive.writestr(f"archive/data/{storage.key or i}", storage.elements.tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def torch_legacy(value: Any, protocol: int = 2) -> bytes:
    """What torch.save wrote before version 1.6, and still writes for single storages."""
    file = io.BytesIO()
    sizes = {"short": 2, "int": 4, "long": 4}
    for part in (
        0x1950A86A20F9469CFC6C,
        1001,
        {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes},
    ):
        pickle.dump(part, file, protocol)
    pickler = LegacyPickler(file, protocol)
    pickler.dump(with_tensors(value))
    pickle.dump([storage.key or str(i) for i, storage in enumerate(pickler.storages.values())], file, protocol)
    for storage in pickler.storages.values():
        file.write(struct.pack("<q", storage.elements.size) + storage.elements.tobytes())
    return file.getvalue()


def with_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return tensor(value)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, with_tensors(item)) for key, item in value.items())
    return [with_tensors(item) for item in value] if type(value) is list else value


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
