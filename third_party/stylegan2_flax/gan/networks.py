"""The generator and the discriminator of an experiment: new ones, or networks that were trained before."""

from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from stylegan2_flax import files, plugins
from stylegan2_flax.files import AnyPath
from stylegan2_flax.gan.state import random_streams

Network = TypeVar("Network", sg2.Generator, sg2.Discriminator)


def make_generator(config: ConfigDict, workdir: AnyPath | None = None) -> sg2.Generator:
    """Load the generator `config.init`, or create one with the arguments `config.generator` if that is empty.

    Args:
        config: the experiment.
        workdir: workdir of the run. If the file `config.init` is gone and the run has begun, the run's own generator,
            which has the same architecture, is loaded instead.

    Raises:
        FileNotFoundError: there is no such generator.
        ValueError: its images have another size or other channels than the experiment's, or arguments are invalid.
    """
    if config.init:
        generator = _load_generator(_own(config.init, workdir, "generator"))
        _check_images(config, generator, f"the generator {config.init!r}")
        return generator
    return _create(sg2.Generator, config, config.generator, random_streams(config.seed).generator)


def make_discriminator(config: ConfigDict, workdir: AnyPath | None = None) -> sg2.Discriminator:
    """Load the discriminator from the file `config.init_discriminator`, or create one with `config.discriminator`.

    Args:
        config: the experiment.
        workdir: as in `make_generator`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it takes other images or batch sizes than the experiment's, or arguments are invalid.
    """
    if config.init_discriminator:
        discriminator = sg2.load(_own(config.init_discriminator, workdir, "discriminator"), which="D")
        _check_images(config, discriminator, f"the discriminator in {config.init_discriminator}")
    else:
        discriminator = _create(
            sg2.Discriminator, config, config.discriminator, random_streams(config.seed).discriminator
        )
    shape = (config.train.batch_size, config.resolution, config.resolution, config.channels)
    jax.eval_shape(discriminator, jax.ShapeDtypeStruct(shape, jnp.float32))  # checks the batch size
    return discriminator


def _create(kind: type[Network], config: ConfigDict, arguments: ConfigDict, key: Key[Array, ""]) -> Network:
    """Create a network for the experiment's images."""
    sizes = {"img_resolution": config.resolution, "img_channels": config.channels}
    try:
        return jax.jit(lambda key: kind(**sizes, **arguments.to_dict(), rngs=nnx.Rngs(key)))(key)
    except TypeError as error:  # an unknown argument
        raise ValueError(f"the config has wrong arguments for {kind.__name__}: {error}") from None


def _own(name: str, workdir: AnyPath | None, network: str) -> str:
    """The name, or the path of the run's own network if the run has begun and the named file is gone or far away."""
    own = None if workdir is None else workdir / f"{network}.safetensors"
    if own is None or not own.exists():
        return name
    is_registered = plugins.find_factory(plugins.GENERATORS, name) is not None
    is_at_hand = is_registered or (not files.is_url(name) and Path(name).expanduser().exists())
    return name if is_at_hand else str(own)


def _load_generator(name: str) -> sg2.Generator:
    if factory := plugins.find_factory(plugins.GENERATORS, name):
        return factory()
    try:
        network = sg2.load(name)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no generator to start from: init={name!r} is neither a file "
            f"nor registered by an installed package ({plugins.registered_names(plugins.GENERATORS)})"
        ) from None
    if not isinstance(network, sg2.Generator):
        raise ValueError(f"init={name!r} holds no generator")
    return network


def _check_images(config: ConfigDict, network: sg2.Generator | sg2.Discriminator, what: str) -> None:
    resolution, channels, classes = network.img_resolution, network.img_channels, network.init_kwargs["c_dim"]
    if (resolution, channels, classes) != (config.resolution, config.channels, 0):
        raise ValueError(
            f"{what} is for {resolution} px, {channels} channels and {classes} label classes; "
            f"this experiment trains on {config.resolution} px and {config.channels} channels, without labels"
        )
