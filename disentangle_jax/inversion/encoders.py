"""Encoders read latents from images. Installed packages register them under the name of the generator they are for.

A package registers an encoder as an entry point, a factory without arguments:

    entry_points={"disentangle_jax.encoders": ["my_generator = my_package.module:encoder"]}
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from absl import flags
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax.inversion.encoder_network import EncoderNetwork
from disentangle_jax.inversion.published import load_encoder
from stylegan2_flax import files, plugins
from stylegan2_flax.checkpoints.source import fetch

GROUP = "disentangle_jax.encoders"


@runtime_checkable
class ImageEncoder(Protocol):
    """Reads latents from images of the generator's size, in [-1, 1]. It sees to its own compilation."""

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n l d"]: ...


def define_flag(flag_values: flags.FlagValues) -> flags.FlagHolder[str | None]:
    """Define --encoder, which names what `load` takes."""
    text = (
        "of pictures: a checkpoint of pSp, e4e or ReStyle, a file of train_encoder, or a registered name (if not said: "
        "the one registered for the generator)"
    )
    return flags.DEFINE_string("encoder", None, text, flag_values=flag_values)


def load_for(generator: str) -> ImageEncoder | None:
    """Load the encoder that is registered for a generator. Returns None if there is none.

    Raises ValueError if the factory does not return an encoder.
    """
    factory = plugins.find_factory(GROUP, generator)
    if factory is None:
        return None
    encoder = factory()
    if not isinstance(encoder, ImageEncoder):
        raise ValueError(f"the encoder {generator!r} is a {type(encoder).__name__}, which cannot be called with images")
    return encoder


def check_is_used(source: str | None, method: str) -> None:
    """Raise ValueError if the method of inversion takes no encoder, and one is given."""
    if source and method == "optimise":
        raise ValueError("--method=optimise searches from samples, without an encoder: leave out one or the other")


def check_is_there(encoder: ImageEncoder | None, method: str) -> None:
    """Raise ValueError if the method of inversion needs an encoder, and there is none."""
    if encoder is None and method == "encoder":
        raise ValueError(
            "--method=encoder needs an encoder, and none is registered for this generator: give one with --encoder, or "
            "leave it out"
        )


def absolute(source: str) -> str:
    """What names the same encoder in any folder: names of registered ones and URLs stay as they are."""
    return source if plugins.find_factory(GROUP, source) else files.absolute(source)


def load(source: str | Path, generator: sg2.Generator) -> ImageEncoder:
    """Load an encoder.

    Args:
        source: the name of one that an installed package registers, which is taken as it is, a file that
            `train_encoder` wrote, or a checkpoint of pSp, e4e or ReStyle.
        generator: the generator that its latents are for.

    Raises:
        FileNotFoundError: there is no such encoder.
        ValueError: the file cannot be read, or is for another generator.
    """
    if registered := load_for(str(source)):
        return registered
    try:
        encoder = _load_own(source) if str(source).endswith(".safetensors") else load_encoder(source)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no encoder {str(source)!r}: it is neither a file, nor the URL of one, nor one that an installed "
            f"package registers ({plugins.registered_names(GROUP)})"
        ) from error
    encoder.check_generator(generator)
    return encoder if isinstance(encoder, EncoderNetwork) else partial(encoder, generator=generator)


def _load_own(source: str | Path) -> EncoderNetwork:
    """Load a file that `train_encoder` wrote, or one at a URL."""
    if not files.is_url(source):
        return EncoderNetwork.load(Path(source).expanduser())
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "encoder.safetensors"
        copy.write_bytes(fetch(str(source)))
        return EncoderNetwork.load(copy)
