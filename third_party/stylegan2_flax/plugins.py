"""Plug-ins: generators, image sources and feature networks that installed packages register as entry points.

    group                        name -> factory
    stylegan2_flax.images        factory(resolution) -> draw(key, n) -> images [n, h, w, c] in [-1, 1]; `draw` is jitted
    stylegan2_flax.features      factory() -> network(images) -> features [n, f]; `network` is a callable pytree, such
                                 as a Flax module or jax.tree_util.Partial(function, weights)
    stylegan2_flax.generators    factory() -> a Generator to start from

A package registers them in setup.py: entry_points={"stylegan2_flax.images": ["mine = my_package.module:factory"]}.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, distributions
from typing import Any

IMAGES, FEATURES, GENERATORS = "stylegan2_flax.images", "stylegan2_flax.features", "stylegan2_flax.generators"


def find_factory(group: str, name: str) -> Callable[..., Any] | None:
    """The factory that is registered in a group under this name, or None."""
    for entry_point in _entry_points(group):
        if entry_point.name == name:
            return entry_point.load()
    return None


def import_factory(name: str, unknown: str) -> Callable[..., Any]:
    """The factory package.module:factory, which is not registered. Raises ValueError, `unknown`, if there is none."""
    module, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise ValueError(unknown)
    try:
        return getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{unknown} ({error})") from error


def registered_names(group: str) -> str:
    """The names that are registered in a group, for error messages."""
    return ", ".join(sorted({entry_point.name for entry_point in _entry_points(group)})) or "none is installed"


def _entry_points(group: str) -> Iterator[EntryPoint]:
    # Not importlib.metadata.entry_points: an old *.egg-info in the working directory would hide the installed package.
    for distribution in distributions():
        yield from distribution.entry_points.select(group=group)
