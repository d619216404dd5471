"""Generators by name: those that come with the package, and files of the user."""

from pathlib import Path

import stylegan2_flax as sg2
from disentangle_jax import arrays

BUNDLED = ("faces64",)
"""Names of the generators in `assets/`."""


def load_generator(source: str | Path) -> sg2.Generator:
    """Load a bundled generator by its name, or one from any path or URL that `stylegan2_flax.load` reads.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file cannot be read, or holds no generator.
    """
    missing = (
        f"there is no generator {str(source)!r}: it is neither a file, nor the URL of one, "
        f"nor one of the bundled ones ({', '.join(BUNDLED)})"
    )
    try:
        network = sg2.load(arrays.find(source, missing) if source in BUNDLED else source)
    except FileNotFoundError as error:
        raise FileNotFoundError(missing) from error
    if not isinstance(network, sg2.Generator):
        raise ValueError(f"{source} holds a discriminator alone: a generator is needed")
    return network
