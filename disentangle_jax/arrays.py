"""Reading and writing of files of named arrays."""

import json
import mmap
import zipfile
import zlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from stylegan2_flax import files
from stylegan2_flax.checkpoints import torch_files
from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.numpy_pickles import NUMPY_CALLS
from stylegan2_flax.checkpoints.safetensors import MAX_HEADER, checked_header
from stylegan2_flax.checkpoints.stored_zip import check_directory
from stylegan2_flax.checkpoints.unpickler import Call, Unpickler
from stylegan2_flax.files import AnyPath

_TORCH = (".pt", ".pth")
SUFFIXES = (".npy", ".npz", ".safetensors", *_TORCH)
"""The file types that `read` supports."""

_DAMAGE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
"""The errors of `np.load` for damaged files."""


class Content(NamedTuple):
    """The content of a file.

    Attributes:
        arrays: arrays of numbers by name. The array of an .npy file, or of a .pt of a single tensor, is called "".
        texts: the metadata of a .safetensors file, or the string arrays of an .npz file with entries joined by commas.
    """

    arrays: dict[str, np.ndarray]
    texts: dict[str, str]


def asset(name: str | Path, missing: str, ending: str = ".safetensors") -> Path:
    """The path of a bundled file, or of a file of the user.

    Args:
        name: the file `name` + `ending` in `assets/`, or else a path.
        missing: error message.
        ending: of bundled files.

    Raises:
        FileNotFoundError: there is no such file.
    """
    bundled = Path(str(resources.files("disentangle_jax"))) / "assets" / f"{name}{ending}"
    for path in (bundled, Path(name).expanduser()):
        if path.is_file():
            return path
    raise FileNotFoundError(missing)


def save(path: str | AnyPath, arrays: Mapping[str, np.ndarray], **about: Any) -> None:
    """Write arrays to a safetensors file, atomically. Plain data in `about` is stored as JSON in its metadata."""
    with files.atomic(path) as temporary:
        temporary.write_bytes(serialize(dict(arrays), {kind: json.dumps(value) for kind, value in about.items()}))


def load(path: str | AnyPath, kind: str | None = None) -> tuple[dict[str, np.ndarray], Any]:
    """Read the arrays of a file that `save` wrote, and the entry `kind` of its metadata; None without a kind.

    Raises:
        ValueError: the file is damaged, or lacks the entry.
    """
    with files.local_copy(path) as local:
        content = _read_safetensors(local)
    if kind is None:
        return content.arrays, None
    if kind not in content.texts:
        raise ValueError(f"{path} holds no {kind}: its metadata lack the entry {kind!r}")
    return content.arrays, json.loads(content.texts[kind])


def check(
    path: str | AnyPath, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], what: str
) -> None:
    """Raise ValueError unless the arrays of a file have these names and shapes, and are finite.

    `what` says for the error message what they are of, such as "7 directions".
    """
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise ValueError(f"{path} holds arrays that do not fit its {what}; make it anew")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError(f"{path} holds numbers that are not finite (NaN or infinite); make it anew")


def read(path: str | Path) -> Content:
    """Read a file of one of the types `SUFFIXES`, without executing pickles.

    Raises:
        ValueError: the file is damaged, or holds pickled objects instead of arrays of numbers.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _TORCH:
        return _read_torch(path)
    return _read_safetensors(path) if suffix == ".safetensors" else _read_numpy(path)


def only(path: str | Path, arrays: Mapping[str, np.ndarray], name: str, what: str) -> np.ndarray:
    """The only array of a file, or the array of this name. Raises ValueError if there is none, or it is not real.

    Args:
        path: the file, for error messages.
        arrays: its arrays.
        name: the name to look for if there are several arrays.
        what: the meaning of the array, for error messages.
    """
    if len(arrays) != 1 and name not in arrays:
        raise ValueError(f"{path} holds {len(arrays)} arrays, but none named {name}; which is it?")
    array = arrays[name] if name in arrays else next(iter(arrays.values()))
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {array.dtype} values; {what} are real numbers")
    return array


def _read_safetensors(path: Path) -> Content:
    try:
        with path.open("rb") as file:
            checked_header(file.read(8 + MAX_HEADER))  # a huge header would take minutes and gigabytes to parse
        with safe_open(path, framework="numpy") as file:
            arrays = {name: _widened(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118, not a dict
            return Content(arrays, file.metadata() or {})
    except (SafetensorError, CheckpointError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}); get or create it again") from error


def _widened(array: np.ndarray) -> np.ndarray:
    """bfloat16, which NumPy does not count among the numbers, as float32."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _read_torch(path: Path) -> Content:
    data = path.read_bytes()
    if not torch_files.recognises(data[:1024]):
        raise ValueError(f"{path} is no file of torch.save, or is damaged or cut short")
    try:
        value = torch_files.read_torch(data)
    except CheckpointError as error:
        raise ValueError(f"{path}: {error}") from error
    found = value if isinstance(value, Mapping) else {"": value}
    return Content({str(name): item for name, item in found.items() if isinstance(item, np.ndarray)}, {})


def _read_numpy(path: Path) -> Content:
    if pickled := _pickled(path):
        raise ValueError(
            f"{path} holds {pickled}, not an array of numbers. Pickles are not unpacked here, since they can run code: "
            "save the array alone, as in np.save(path, array)"
        )
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
                    check_directory(view)  # as the header above
            file.seek(0)
            content = np.load(file, allow_pickle=False)
            arrays = {"": content} if isinstance(content, np.ndarray) else dict(content)
        if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"its member {others[0]!r} is no array")
    except _DAMAGE as error:
        raise ValueError(f"{path} is no .npy or .npz file, or is damaged or cut short ({error})") from None
    texts = {name: ",".join(map(str, array.reshape(-1))) for name, array in arrays.items() if array.dtype.kind == "U"}
    return Content({name: array for name, array in arrays.items() if name == "" or name not in texts}, texts)


def _pickled(path: Path) -> str:
    """A description of the pickled content of an .npy file; "" if it holds numbers."""
    with path.open("rb") as file:
        try:
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = read_header[np.lib.format.read_magic(file)](file)
        except (ValueError, KeyError, EOFError):
            return ""
        if not dtype.hasobject:
            return ""
        try:
            value = Unpickler(memoryview(file.read()), NUMPY_CALLS).load()
        except CheckpointError:
            value = None
    state = value.state if isinstance(value, Call) else None
    content = state[-1] if isinstance(state, tuple) and state and isinstance(state[-1], list) else []
    if shape == () and content and isinstance(content[0], dict):
        return f"a pickled dict with the entries {', '.join(map(repr, content[0]))}"
    return "pickled Python objects"
