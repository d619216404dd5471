"""Generators by name: those that come with the package, and files of the user."""

from importlib import resources
from pathlib import Path

import stylegan2_flax as sg2

BUNDLED = ("faces64",)
"""Names of the generators in `assets/`."""


def load_generator(name_or_path: str | Path) -> sg2.Generator:
    """Load a bundled generator by its name, or any file that `stylegan2_flax.load` reads.

    Raises:
        FileNotFoundError: it is neither.
    """
    if name_or_path in BUNDLED:
        with resources.as_file(resources.files("disentangle_jax") / "assets" / f"{name_or_path}.safetensors") as path:
            return sg2.load(path)
    if not Path(name_or_path).is_file():
        raise FileNotFoundError(
            f"there is no generator {str(name_or_path)!r}: "
            f"it is neither a file nor one of the bundled ones ({', '.join(BUNDLED)})"
        )
    return sg2.load(name_or_path)
