"""Generators: those that installed packages register (`stylegan2_flax.generators`), and files."""

import hashlib
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from stylegan2_flax import files, plugins
from stylegan2_flax.files import AnyPath


def is_registered(source: str | Path) -> bool:
    """Whether an installed package registers a generator of this name."""
    return plugins.find_factory(plugins.GENERATORS, str(source)) is not None


def absolute(source: str | Path) -> str:
    """A source that means the same in any working directory: paths become absolute, names and URLs stay as they are."""
    return str(source) if is_registered(source) else files.absolute(source)


def load_generator(source: str | AnyPath) -> sg2.Generator:
    """Load a generator.

    Args:
        source: the name of one that an installed package registers, or a path or URL that `stylegan2_flax.load` reads.

    Raises:
        FileNotFoundError: there is no such generator.
        ValueError: the file cannot be read, or holds no generator.
    """
    if factory := plugins.find_factory(plugins.GENERATORS, str(source)):
        return factory()
    try:
        network = sg2.load(source if files.is_url(source) else Path(source).expanduser())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no generator {str(source)!r}: it is neither a file, nor the URL of one, "
            f"nor one that an installed package registers ({plugins.registered_names(plugins.GENERATORS)})"
        ) from error
    if not isinstance(network, sg2.Generator):
        raise ValueError(f"{source} holds a discriminator alone: a generator is needed")
    return network


def load_recorded(config: ConfigDict, folder: str | AnyPath) -> sg2.Generator:
    """Load the generator of a workdir or an exported folder: its copy folder/generator.safetensors, or the config's.

    Args:
        config: the recorded config.
        folder: the workdir or exported folder.

    Raises:
        FileNotFoundError: there is no such generator; the message says where to put it.
        ValueError: it cannot be read, or is not the generator that the model was trained with.
    """
    own = files.as_path(folder) / "generator.safetensors"
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
    """A digest of a generator: 16 hexadecimal digits of the SHA-256 of its names and arrays."""
    total = hashlib.sha256()
    for name, array in sorted(sg2.to_state_dict(generator).items()):
        total.update(f"{name} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array, np.float32).tobytes())
    return total.hexdigest()[:16]
