"""Scorers read named factors from images. Installed packages register them by name.

A package registers a scorer as an entry point, a factory without arguments:

    entry_points={"disentangle_jax.scorers": ["my_scorer = my_package.module:factory"]}

A config may also name a factory that is not registered: "my_package.module:factory". A registered factory may take
one argument, a path, which follows a colon: "faces_judge:runs/judges/mine.safetensors".
"""

import inspect
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from stylegan2_flax import files, plugins

GROUP = "disentangle_jax.scorers"
FIELDS = (("directions", "scorer"), ("purify", "scorer"), ("evaluation", "judge"))
"""The fields of an experiment's config that name scorers, each after its section."""


@runtime_checkable
class Named(Protocol):
    """Anything with named factors.

    Attributes:
        names: names of all factors, in the order of their values.
        structure: names of the structure factors. All others are appearance factors.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def structure(self) -> tuple[str, ...]: ...


@runtime_checkable
class Scorer(Named, Protocol):
    """Reads factors from images. It is a callable pytree, such as a Flax module, that jitted functions take as an
    argument; `names` and `structure` are static.
    """

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n f"]:
        """Read the factors of images in [-1, 1], differentiably."""
        ...


def features_of(scorer: Scorer) -> Callable[..., Float[Array, "n f"]] | None:
    """A function of (scorer, images) that gives the features from which it reads the factors; None if it has none.

    They are those of a method `features(images)` of its class. An attribute of that name is something else.
    """
    features = getattr(type(scorer), "features", None)
    if not callable(features):
        return None
    method = cast(Callable[..., Array], features)
    return lambda scorer, images: jnp.reshape(method(scorer, images), (len(images), -1))


class Factors(NamedTuple):
    """Values of the appearance factors and of the structure factors, each in the order of their names.

    Both have the same leading axes, any number of them: one image, n images, clips of frames.
    """

    appearance: Float[Array | np.ndarray, "... fa"]
    structure: Float[Array | np.ndarray, "... fs"]

    def stack(self) -> Float[Array, "... f"]:
        """Both kinds concatenated, appearance first."""
        return jnp.concatenate(self, axis=-1)


def load_scorer(name: str) -> Scorer:
    """Load a scorer by name: NAME or NAME:PATH of a registered one, or package.module:factory.

    Raises:
        FileNotFoundError: PATH does not exist.
        ValueError: the name is unknown, or the factory does not return a scorer.
    """
    registered, colon, argument = name.partition(":")
    if factory := plugins.find_factory(GROUP, registered):
        arguments = [argument] if colon else []
        try:
            inspect.signature(factory).bind(*arguments)
        except TypeError:
            wanted = "takes no path: leave the colon and what follows out" if colon else f"wants one: {registered}:PATH"
            raise ValueError(f"the scorer {registered!r} {wanted}") from None
        scorer = factory(*arguments)
    else:
        unknown = (
            f"unknown scorer {name!r}: it is neither registered by an installed package "
            f"({plugins.registered_names(GROUP)}) nor a factory, given as package.module:factory"
        )
        scorer = plugins.import_factory(name, unknown)()
    return checked_scorer(scorer, name)


def absolute_scorer(name: str) -> str:
    """The same scorer named so that it is found from any folder: PATH of NAME:PATH is made absolute."""
    registered, colon, path = name.partition(":")
    is_path = colon and plugins.find_factory(GROUP, registered) is not None
    return f"{registered}:{files.absolute(path)}" if is_path else name


def without_folder(name: str) -> str:
    """The same scorer named without the folder of PATH, which would tell of this machine."""
    registered, colon, path = name.partition(":")
    return f"{registered}{colon}{PurePath(path).name}"


def checked_scorer(scorer: Any, name: str) -> Scorer:
    """The scorer itself. Raises ValueError if it is not a `Scorer`, or lacks structure or appearance factors."""
    kind = type(scorer).__name__
    if not (isinstance(scorer, Scorer) and callable(scorer)):
        raise ValueError(f"{name!r} gives a {kind}, not a scorer: it needs names, structure, __call__")
    if not all(isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int) for leaf in jax.tree.leaves(scorer)):
        raise ValueError(
            f"{name!r} gives a {kind} that is no pytree of arrays, which jitted functions could take: make its class a "
            "Flax module, or register it by jax.tree_util.register_dataclass, or by register_static if it has no arrays"
        )
    check_names(scorer, f"the scorer {name!r}")
    return scorer


def check_names(of: Named, what: str) -> None:
    """Raise ValueError if the names are no tuples, are not unique, or do not include structure and appearance."""
    if not isinstance(of.names, tuple) or not isinstance(of.structure, tuple):
        kinds = " and a ".join(type(names).__name__ for names in (of.names, of.structure))
        raise ValueError(f"{what} must give names and structure as tuples of strings; they are a {kinds}")
    if len(set(of.names)) != len(of.names) or not set(of.structure) < set(of.names) or not of.structure:
        raise ValueError(
            f"{what} must have factors of structure and of appearance, each named once; it has the names "
            f"{', '.join(of.names)}, of them structure: {', '.join(of.structure) or 'none'}"
        )


def appearance_names(of: Named) -> tuple[str, ...]:
    """The names of the appearance factors, in the order of the values."""
    return tuple(name for name in of.names if name not in of.structure)


def structure_names(of: Named) -> tuple[str, ...]:
    """The names of the structure factors, in the order of the values."""
    return tuple(name for name in of.names if name in of.structure)


def structure_columns(of: Named) -> Bool[np.ndarray, "f"]:
    """Of each value, in the order of `of.names`, whether it is of a structure factor."""
    return np.array([name in of.structure for name in of.names])


def split(values: Float[Array | np.ndarray, "... f"], of: Named) -> Factors:
    """Split values, in the order of `of.names`, into appearance and structure."""
    columns = structure_columns(of)
    return Factors(values[..., ~columns], values[..., columns])


def join(factors: Factors, of: Named) -> Float[Array, "... f"]:
    """The inverse of `split`."""
    order = [*appearance_names(of), *structure_names(of)]
    return factors.stack()[..., np.array([order.index(name) for name in of.names])]
