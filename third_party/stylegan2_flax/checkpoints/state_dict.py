"""Conversion of networks to and from state dicts: NumPy arrays under NVIDIA's names, in torch's layout."""

from collections.abc import Mapping
from typing import Any, Literal, overload

import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.generator import Generator
from stylegan2_flax.resample import separable_taps

KINDS: dict[str, type[Generator] | type[Discriminator]] = {"generator": Generator, "discriminator": Discriminator}


@overload
def from_state_dict(
    arrays: Mapping[str, np.ndarray], kind: Literal["generator"] = "generator", **init_kwargs: Any
) -> Generator: ...


@overload
def from_state_dict(
    arrays: Mapping[str, np.ndarray], kind: Literal["discriminator"], **init_kwargs: Any
) -> Discriminator: ...


@overload
def from_state_dict(arrays: Mapping[str, np.ndarray], kind: str, **init_kwargs: Any) -> Generator | Discriminator: ...


def from_state_dict(
    arrays: Mapping[str, np.ndarray], kind: str = "generator", **init_kwargs: Any
) -> Generator | Discriminator:
    """Create a network from its parameters and buffers, converted to float32.

    arrays: exactly the network's names: `synthesis.b8.conv0.affine.weight` of a generator, `b8.conv0.weight` of a
    discriminator.
    init_kwargs: the arguments of `Generator` or `Discriminator`.
    Raises ValueError that lists every missing or unexpected name and every wrong shape.
    """
    if kind not in KINDS:
        raise ValueError(f"cannot build a network of kind {kind!r}: choose one of {', '.join(KINDS)}")
    abstract = nnx.eval_shape(lambda: KINDS[kind](**init_kwargs, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(abstract)
    wanted = {name: np.shape(leaf) for name, leaf in _flat(abstract).items()}
    problems = _differences(wanted, {name: np.shape(array) for name, array in arrays.items()})
    if problems:
        raise ValueError(f"these arrays do not fit the {kind} of these arguments: " + "; ".join(problems))
    filters = {name: np.asarray(array) for name, array in arrays.items() if name.endswith("resample_filter")}
    if odd := sorted(name for name, array in filters.items() if not _is_separable(array)):
        raise ValueError(f"{', '.join(odd)}: layers resample by taps along each axis, and no taps make this filter")
    values = {tuple(name.split(".")): jnp.array(np.asarray(arrays[name], np.float32)) for name in wanted}
    nnx.replace_by_pure_dict(state, unflatten_dict(values))
    return nnx.merge(graphdef, state)


def to_state_dict(network: Generator | Discriminator) -> dict[str, np.ndarray]:
    """The network's parameters and buffers as numpy arrays, under the names that `from_state_dict` takes."""
    return {name: np.asarray(array) for name, array in _flat(network).items()}


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


def _is_separable(filter_: np.ndarray) -> bool:
    taps = np.asarray(separable_taps(jnp.asarray(filter_, jnp.float32)))
    return filter_.ndim == 1 or np.allclose(filter_, np.outer(taps, taps), atol=1e-6)
