"""Networks from and to flat dictionaries of numpy arrays under NVIDIA's names, in torch's layout."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from stylegan2_flax.networks import Generator


def from_state_dict(arrays: Mapping[str, np.ndarray], kind: str = "generator", **init_kwargs: Any) -> Generator:
    """Builds a network from its parameters and buffers, converted to float32.

    arrays: exactly the network's names, as in `synthesis.b8.conv0.affine.weight`.
    init_kwargs: the arguments of `Generator`.
    Raises ValueError that lists every missing or unexpected name and every wrong shape.
    """
    if kind != "generator":
        raise ValueError(f"cannot build a network of kind {kind!r}: only 'generator' is supported")
    abstract = nnx.eval_shape(lambda: Generator(**init_kwargs, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(abstract)
    wanted = {name: np.shape(leaf) for name, leaf in _flat(abstract).items()}
    problems = _differences(wanted, {name: np.shape(array) for name, array in arrays.items()})
    if problems:
        raise ValueError("these arrays do not fit the generator of these arguments: " + "; ".join(problems))
    values = {tuple(name.split(".")): jnp.asarray(np.asarray(arrays[name], np.float32)) for name in wanted}
    nnx.replace_by_pure_dict(state, unflatten_dict(values))
    return nnx.merge(graphdef, state)


def to_state_dict(generator: Generator) -> dict[str, np.ndarray]:
    """The generator's parameters and buffers as numpy arrays, under the names that `from_state_dict` takes."""
    return {name: np.asarray(array) for name, array in _flat(generator).items()}


def _flat(network: nnx.Module) -> dict[str, Any]:
    return flatten_dict(nnx.to_pure_dict(nnx.state(network)), sep=".")  # pyright: ignore[reportReturnType]


def _differences(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> list[str]:
    problems = []
    if missing := sorted(wanted.keys() - given.keys()):
        problems.append(f"missing {', '.join(missing)}")
    if unexpected := sorted(given.keys() - wanted.keys()):
        problems.append(f"unexpected {', '.join(unexpected)}")
    problems += [
        f"{name} must have shape {list(shape)}, has {list(given[name])}"
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
    return problems
