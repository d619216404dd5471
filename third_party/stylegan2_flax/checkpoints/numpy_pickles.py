"""NumPy arrays, numbers and dtypes in pickles, created from descriptions of their constructor calls."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.unpickler import Call

NUMPY_CALLS = frozenset(
    {"_codecs.encode", "numpy.ndarray", "numpy.dtype"}
    | {
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
    }
)

_MAX_CLAIM = 2**40


@dataclass
class Budget:
    """A bound on the bytes of all arrays of a file, so that a small file cannot allocate gigabytes.

    Twice the file's size: pickles of protocol 2 are decoded first, and bfloat16 becomes float32.
    """

    file_size: int
    slack: int = 2**20
    spent: int = field(default=0, init=False)

    def spend(self, size: int) -> None:
        self.spent += size
        if self.spent > 2 * self.file_size + self.slack:
            raise CheckpointError(f"its arrays claim more than twice the {self.file_size} bytes that hold them")


def to_array(value: Any, budget: Budget) -> np.ndarray:
    """The array that a pickled call describes, as a view of the file if the pickle holds its bytes unchanged.

    A NumPy scalar becomes an array without dimensions.
    """
    name = value.name if isinstance(value, Call) else ""
    if name.endswith("._reconstruct"):
        state = value.state if isinstance(value.state, tuple) else ()
        if len(state) != 5:
            raise CheckpointError("an array's description is damaged: its state must have five parts")
        _, shape, dtype, is_fortran, data = state
    elif name.endswith("._frombuffer"):
        if len(value.args) != 4:
            raise CheckpointError("an array's description is damaged: it must have four parts")
        data, dtype, shape, order = value.args
        is_fortran = order == "F"
    elif name.endswith(".multiarray.scalar"):
        if len(value.args) != 2:
            raise CheckpointError("a number's description is damaged: it must have two parts")
        (dtype, data), shape, is_fortran = value.args, (), False
    else:
        raise CheckpointError("something else stands where an array is expected")
    dtype, data = _dtype(dtype), to_bytes(data, budget)
    shape = checked_sizes(shape, "shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise CheckpointError(f"an array of shape {list(shape)} and type {dtype} has {len(data)} bytes")
    budget.spend(len(data))
    return np.ndarray(shape, dtype, buffer=data, order="F" if is_fortran else "C")


def to_number(value: Any) -> Any:
    """Convert the description of a NumPy scalar to a Python number. Other values are unchanged."""
    if not isinstance(value, Call) or not value.name.endswith(".multiarray.scalar"):
        return value
    if len(value.args) != 2:
        raise CheckpointError("a number's description is damaged: it must have two parts")
    dtype, data = _dtype(value.args[0]), to_bytes(value.args[1], Budget(8, slack=0))
    if len(data) != dtype.itemsize:
        raise CheckpointError(f"a number of type {dtype} has {len(data)} bytes")
    return np.frombuffer(data, dtype)[0].item()


def to_bytes(value: Any, budget: Budget) -> memoryview | bytes:
    """Bytes of a pickle. Protocol 2 has no bytes, and stores them as text in latin-1."""
    if isinstance(value, Call) and value.name == "_codecs.encode" and value.args:
        value = value.args[0]
    if isinstance(value, str):
        budget.spend(len(value))
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError as error:
            raise CheckpointError("the bytes of an array are damaged: they are text") from error
    if not isinstance(value, memoryview):
        raise CheckpointError("something else stands where the bytes of an array are expected")
    return value


def checked_sizes(sizes: Any, what: str) -> tuple[int, ...]:
    """The shape, if it is a tuple of integers of a plausible array."""
    integers = isinstance(sizes, tuple) and len(sizes) <= 8 and all(type(n) is int and n >= 0 for n in sizes)
    if not integers or math.prod(max(n, 1) for n in sizes) > _MAX_CLAIM:
        raise CheckpointError(f"an array's {what} is no tuple of sizes that an array can have")
    return sizes


def _dtype(value: Any) -> np.dtype:
    code = value.args[0] if isinstance(value, Call) and value.name == "numpy.dtype" and value.args else None
    state = value.state if isinstance(value, Call) else None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if not isinstance(code, str) or not re.fullmatch("[fiu][248]|[iub]1", code) or order not in ("<", ">", "|", "="):
        raise CheckpointError("an array or number is of a kind that no network holds")
    return np.dtype(code).newbyteorder(order)
