"""The weights of modules as named arrays, such as `encoder/trunk/blocks/0/up/kernel`: what safetensors files hold."""

from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from stylegan2_flax.files import AnyPath
from stylegan2_flax.run.trees import check_shapes, leaves_by_path

_Module = TypeVar("_Module", bound=nnx.Module)


def named_arrays(module: nnx.Module, dtype: np.typing.DTypeLike = np.float32) -> dict[str, np.ndarray]:
    """All parameters and other variables of a module, in this dtype."""
    tree = nnx.to_pure_dict(nnx.state(module))
    return {name: np.asarray(array, dtype) for name, array in leaves_by_path(tree).items()}


def with_arrays(
    abstract: _Module, stored: Mapping[str, np.ndarray], path: str | AnyPath, described_by: str = "the config"
) -> _Module:
    """The module with these arrays, in its own dtypes.

    Args:
        abstract: a module from `nnx.eval_shape`, which gives the names and shapes.
        stored: the arrays by name, as `named_arrays` gives them.
        path: where they were read from, for the error message.
        described_by: what gives the names and shapes, for the error message.

    Raises:
        ValueError: they have other names or shapes.
    """
    graphdef, state = nnx.split(abstract)
    target = nnx.to_pure_dict(state)
    expected = leaves_by_path(target)
    check_shapes(str(path), dict(stored), expected, described_by)
    leaves = [jnp.asarray(stored[name], leaf.dtype) for name, leaf in expected.items()]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(target), leaves))
