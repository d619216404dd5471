"""Reading of NumPy's `.npz` archives, with bounds on memory and without unpickling."""

import io
import math
import zipfile

import numpy as np

from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.numpy_pickles import Budget
from stylegan2_flax.checkpoints.stored_zip import check_directory

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a ZIP archive whose first member is an array."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return head.startswith(b"PK\x03\x04") and name.endswith(b".npy")


def read_npz(data: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of an archive by name. Raises CheckpointError, and no other error, if it cannot be read."""
    budget = Budget(len(data))
    check_directory(memoryview(data))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {info.filename.removesuffix(".npy"): _member(archive, info, budget) for info in archive.infolist()}
    except CheckpointError:
        raise
    except Exception as error:  # zipfile does not say which errors a damaged file can cause
        raise CheckpointError(
            f"its archive is damaged or cut short: {str(error) or type(error).__name__}; get the file again"
        ) from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> np.ndarray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others know no bounds
        raise CheckpointError("its archive has a compression that np.savez does not use")
    budget.spend(info.file_size)
    with archive.open(info) as file:
        stream = io.BytesIO(file.read(info.file_size))
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise CheckpointError(f"{info.filename:.80} is of an unknown version of the format: {version}")
    shape, is_fortran, dtype = _HEADERS[version](stream)
    data = stream.read()
    if dtype.kind not in "fiu" or math.prod(shape) * dtype.itemsize != len(data):
        raise CheckpointError(f"{info.filename:.80} is no array of numbers, or a damaged one")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
