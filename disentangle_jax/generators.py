"""Generators by name, among what installed packages offer (`stylegan2_flax.generators`), and from files of the user."""

import hashlib
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from stylegan2_flax import plugins
from stylegan2_flax.files import is_url


def is_offered(source: str | Path) -> bool:
    """Whether an installed package offers a generator of this name."""
    return plugins.find(plugins.GENERATORS, str(source)) is not None


def absolute(source: str | Path) -> str:
    """The source as it means the same from any working directory: a path absolute, with ~ expanded; names and URLs as
    they are.
    """
    if is_url(source) or is_offered(source):
        return str(source)
    return str(Path(source).expanduser().absolute())


def load_generator(source: str | Path) -> sg2.Generator:
    """Load a generator that a package offers by its name, or one from any path or URL that `stylegan2_flax.load` reads.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file cannot be read, or holds no generator.
    """
    if factory := plugins.find(plugins.GENERATORS, str(source)):
        return factory()
    try:
        network = sg2.load(source if is_url(source) else Path(source).expanduser())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no generator {str(source)!r}: it is neither a file, nor the URL of one, "
            f"nor one that an installed package offers ({plugins.offered(plugins.GENERATORS)})"
        ) from error
    if not isinstance(network, sg2.Generator):
        raise ValueError(f"{source} holds a discriminator alone: a generator is needed")
    return network


def load_recorded(config: ConfigDict, folder: str | Path) -> sg2.Generator:
    """The generator of a workdir or an exported folder: its own copy, folder/generator.safetensors, or that of the
    config.

    Raises:
        FileNotFoundError: there is none; the message says where to put it.
        ValueError: it is another than the one of the record, or cannot be read.
    """
    own = Path(folder) / "generator.safetensors"
    try:
        generator = load_generator(own if own.exists() else config.generator)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. If it has moved, copy it to {own}, or set config.generator") from error
    recorded = config.get("generator_digest", "")
    if recorded and (found := digest(generator)) != recorded:
        raise ValueError(
            f"{own if own.exists() else config.generator} is another generator than the one that {folder} was made "
            f"with: its digest is {found}, that one's is {recorded}"
        )
    return generator


def digest(generator: sg2.Generator) -> str:
    """What tells generators apart: 16 hexadecimal digits of the SHA-256 of their arrays under their names."""
    total = hashlib.sha256()
    for name, array in sorted(sg2.to_state_dict(generator).items()):
        total.update(f"{name} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array, np.float32).tobytes())
    return total.hexdigest()[:16]
