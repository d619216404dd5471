"""Validation of arguments."""

import inspect
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

MAX_SIZE = 2**20
_DTYPES = ("float32", "bfloat16", "float16")


def checked_array(value: Array | np.ndarray, name: str, shape: tuple[int | str, ...]) -> Array:
    """Convert to a float32 array. Raises ValueError if the shape differs; strings in `shape` stand for any size."""
    value = jnp.asarray(value, jnp.float32)
    matches = value.ndim == len(shape) and all(
        isinstance(want, str) or got == want for got, want in zip(value.shape, shape, strict=True)
    )
    if not matches:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} must be [{wanted}], got [{', '.join(map(str, value.shape))}]")
    return value


def checked_dtype(dtype: DTypeLike) -> np.dtype:
    """Convert to a dtype. Raises ValueError if it is not float32, bfloat16 or float16."""
    dtype = jnp.dtype(dtype)
    if dtype.name not in _DTYPES:
        raise ValueError(f"networks compute in {', '.join(_DTYPES)}, not in {dtype.name}")
    return dtype


def check_sizes(least: int = 1, **sizes: Any) -> None:
    """Raise ValueError unless sizes are integers from `least` to 2^20, a bound for damaged files."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or not least <= size <= MAX_SIZE:
            raise ValueError(f"{name} must be an integer from {least} to {MAX_SIZE}, got {size!r}")


def check_positive(**numbers: Any) -> None:
    """Raise ValueError unless numbers are positive and finite, or None."""
    for name, number in numbers.items():
        if number is not None and not (isinstance(number, int | float) and 0 < number < float("inf")):
            raise ValueError(f"{name} must be a positive number, got {number!r}")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is among the choices."""
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(choices)}")


def checked_keywords(
    module: type[nnx.Module], name: str, given: Mapping[str, Any] | None, fixed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Copy `given`. Raises ValueError if a key is not a keyword-only argument of the module, or is in `fixed`."""
    parameters = inspect.signature(module.__init__).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("rngs", *fixed)]
    given = dict(given or {})
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"unknown {name} {', '.join(map(repr, unknown))}: choose from {', '.join(known)}")
    return given
