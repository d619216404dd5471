"""Scorers: whatever reads named factors out of pictures. They are found by name among what installed packages offer.

A package offers one in its setup, as a factory without arguments:

    entry_points={"disentangle_jax.scorers": ["my_scorer = my_package.module:factory"]}

Without an entry point, a config may name the factory itself: "my_package.module:factory". An entry point's factory may
take one argument, a path, given after a colon: "faces_judge:runs/judges/mine.safetensors".
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stylegan2_flax import plugins

GROUP = "disentangle_jax.scorers"


@runtime_checkable
class Named(Protocol):
    """Factors by name.

    Attributes:
        names: of all factors, in the order of the values.
        structure: the names of those that are structure; the others are appearance.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def structure(self) -> tuple[str, ...]: ...


@runtime_checkable
class Scorer(Named, Protocol):
    """Reads factors out of pictures. A callable pytree, such as a Flax module, so that its weights are arguments of a
    jitted function; `names` and `structure` are static.
    """

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n f"]:
        """Read the factors of images in [-1, 1], differentiably."""
        ...


class Factors(NamedTuple):
    """Values of factors, those of appearance and those of structure apart, each in the order of their names.

    Leading axes are free, and the same for both: one picture, n pictures, clips of frames.
    """

    appearance: Float[Array | np.ndarray, "... fa"]
    structure: Float[Array | np.ndarray, "... fs"]

    def stack(self) -> Float[Array, "... f"]:
        """Both kinds in one vector, appearance first."""
        return jnp.concatenate(self, axis=-1)


def load_scorer(name: str) -> Scorer:
    """The scorer of this name, of an installed package: NAME, NAME:PATH, or package.module:factory.

    Raises:
        FileNotFoundError: PATH does not exist.
        ValueError: nothing of this name is offered, or what is offered is no scorer.
    """
    offered, colon, argument = name.partition(":")
    if factory := plugins.find(GROUP, offered):
        scorer = factory(argument) if colon else factory()
    else:
        scorer = _import_factory(name)()
    return checked_scorer(scorer, name)


def checked_scorer(scorer: Any, name: str) -> Scorer:
    """The scorer; ValueError if it is none, or does not tell structure from appearance."""
    if not (isinstance(scorer, Scorer) and callable(scorer)):
        raise ValueError(f"{name!r} gives a {type(scorer).__name__}, not a scorer: it needs names, structure, __call__")
    check_names(scorer, f"the scorer {name!r}")
    return scorer


def check_names(of: Named, what: str) -> None:
    """Raise ValueError if the names are not unique, or there is no structure or no appearance among them."""
    if len(set(of.names)) != len(of.names) or not set(of.structure) < set(of.names) or not of.structure:
        raise ValueError(
            f"{what} must have factors of structure and of appearance, each named once; it has the names "
            f"{', '.join(of.names)}, of them structure: {', '.join(of.structure) or 'none'}"
        )


def appearance_names(of: Named) -> tuple[str, ...]:
    """The names of the factors that are appearance."""
    return tuple(name for name in of.names if name not in of.structure)


def structure_names(of: Named) -> tuple[str, ...]:
    """The names of the factors that are structure, in the order of the values."""
    return tuple(name for name in of.names if name in of.structure)


def split(values: Float[Array | np.ndarray, "... f"], of: Named) -> Factors:
    """Values in the order of `of.names`, apart by kind."""
    is_structure = np.array([name in of.structure for name in of.names])
    return Factors(values[..., np.flatnonzero(~is_structure)], values[..., np.flatnonzero(is_structure)])


def join(factors: Factors, of: Named) -> Float[Array, "... f"]:
    """The inverse of `split`."""
    order = [*appearance_names(of), *structure_names(of)]
    return factors.stack()[..., np.array([order.index(name) for name in of.names])]


def _import_factory(name: str) -> Callable[[], Any]:
    module, colon, attribute = name.partition(":")
    unknown = (
        f"unknown scorer {name!r}: it is neither offered by an installed package ({plugins.offered(GROUP)}) "
        "nor a factory, given as package.module:factory"
    )
    if not colon or not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise ValueError(unknown)
    try:
        return getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{unknown} ({error})") from error
