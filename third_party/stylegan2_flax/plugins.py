"""What other packages offer to the trainer, found by name among the entry points of what is installed.

    group                        name -> factory
    stylegan2_flax.images        factory(resolution) -> draw(key, n) -> images [n, h, w, c] in [-1, 1]; `draw` is jitted
    stylegan2_flax.features      factory() -> network(images) -> features [n, f]; `network` is a callable pytree, such
                                 as a Flax module or jax.tree_util.Partial(function, weights)
    stylegan2_flax.generators    factory() -> a Generator to start from

A package offers them in its setup: entry_points={"stylegan2_flax.images": ["my_images = my_package.module:factory"]}.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from typing import Any

IMAGES, FEATURES, GENERATORS = "stylegan2_flax.images", "stylegan2_flax.features", "stylegan2_flax.generators"


def find(group: str, name: str) -> Callable[..., Any] | None:
    """The factory that is offered under this name, or None."""
    for entry_point in _entry_points(group):
        if entry_point.name == name:
            return entry_point.load()
    return None


def offered(group: str) -> str:
    """The names that are offered, for error messages."""
    return ", ".join(sorted({entry_point.name for entry_point in _entry_points(group)})) or "none is installed"


def _entry_points(group: str) -> Iterator[EntryPoint]:
    # Not importlib.metadata.entry_points: an old *.egg-info in the working directory would hide the installed package.
    for distribution in distributions():
        yield from distribution.entry_points.select(group=group)
