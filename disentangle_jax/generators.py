"""Generators by name, among what installed packages offer (`stylegan2_flax.generators`), and from files of the user."""

from pathlib import Path

import stylegan2_flax as sg2
from stylegan2_flax import plugins


def is_offered(source: str | Path) -> bool:
    """Whether an installed package offers a generator of this name."""
    return plugins.find(plugins.GENERATORS, str(source)) is not None


def load_generator(source: str | Path) -> sg2.Generator:
    """Load a generator that a package offers by its name, or one from any path or URL that `stylegan2_flax.load` reads.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file cannot be read, or holds no generator.
    """
    if factory := plugins.find(plugins.GENERATORS, str(source)):
        return factory()
    try:
        network = sg2.load(source)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no generator {str(source)!r}: it is neither a file, nor the URL of one, "
            f"nor one that an installed package offers ({plugins.offered(plugins.GENERATORS)})"
        ) from error
    if not isinstance(network, sg2.Generator):
        raise ValueError(f"{source} holds a discriminator alone: a generator is needed")
    return network
