"""Modules filled with the arrays of a state dict."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

from disentangle_jax.inversion.published.backbones import IR_UNITS
from stylegan2_flax import CheckpointError
from stylegan2_flax.checkpoints.layout import listed

Module = TypeVar("Module", bound=nnx.Module)

_COUNTER = "num_batches_tracked"


def build(make: Callable[[], Module], arrays: Mapping[str, Any], what: str, *, may_hold_more: bool = False) -> Module:
    """The module that `make` makes, with these arrays, converted to float32.

    Args:
        arrays: by the module's attribute paths; batch normalisation's `num_batches_tracked` is ignored.
        what: the module, for the error.
        may_hold_more: ignore arrays that the module does not have.

    Raises:
        CheckpointError: (a ValueError) that lists missing and unexpected names, wrong shapes, and arrays with NaN or
            infinity.
    """
    graphdef, state = nnx.split(nnx.eval_shape(make))
    wanted = {path: leaf.shape for path, leaf in nnx.to_flat_state(state)}
    names = {".".join(map(str, path)): path for path in wanted}
    given = {name: array for name, array in arrays.items() if not name.endswith(_COUNTER)}
    differences = {
        "missing": names.keys() - given.keys(),
        "unexpected": set() if may_hold_more else given.keys() - names.keys(),
    }
    problems = [f"{problem} {listed(which)}" for problem, which in differences.items() if which]
    if not problems:
        problems = [problem for name in names if (problem := _problem(name, given[name], wanted[names[name]]))]
    if problems:
        raise CheckpointError(f"these arrays are not those of {what}: " + "; ".join(problems[:3]))
    values = {path: jnp.array(np.asarray(given[name], np.float32)) for name, path in names.items()}
    if bad := [name for name, path in names.items() if not np.isfinite(values[path]).all()]:
        raise CheckpointError(f"the weights of {what} are of no use: there is NaN or infinity in {listed(bad)}")
    nnx.replace_by_pure_dict(state, nnx.traversals.unflatten_mapping(values))
    return nnx.merge(graphdef, state)


def ir_units(names: Mapping[str, Any]) -> tuple[int, ...]:
    """How many residual units each stage of an IR backbone has; IR-50's where no known one has so many."""
    units = {match[1] for name in names if (match := re.match(r"body\.(\d+)\.", name))}
    return IR_UNITS.get(len(units), IR_UNITS[24])


def channels_of(arrays: Mapping[str, Any], name: str, otherwise: int) -> int:
    """The input channels of a convolution."""
    shape = np.shape(arrays.get(name, ()))
    return shape[1] if len(shape) == 4 else otherwise


def without_data_parallel(arrays: Mapping[Any, Any]) -> dict[str, Any]:
    """The arrays by their names without the `module.` that torch's DataParallel puts before them."""
    return {name.removeprefix("module."): array for name, array in arrays.items() if isinstance(name, str)}


def _problem(name: str, array: Any, shape: tuple[int, ...]) -> str | None:
    if np.shape(array) != shape:
        return f"{name} must have shape {list(shape)}, has {list(np.shape(array))}"
    if np.asarray(array).dtype.kind not in "fiu":
        return f"{name} must be an array of real numbers, is of type {np.asarray(array).dtype}"
    return None
