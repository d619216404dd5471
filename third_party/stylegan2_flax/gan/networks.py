"""The two players of an experiment: new ones, or such as were trained before."""

from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from stylegan2_flax import plugins
from stylegan2_flax.gan.state import streams

Network = TypeVar("Network", sg2.Generator, sg2.Discriminator)


def make_generator(config: ConfigDict, workdir: Path | None = None) -> sg2.Generator:
    """The generator of `config.init`, or a new one of `config.generator` where that is empty.

    Args:
        config: the experiment.
        workdir: of a run that may have begun: where the file is gone, the run's own generator has the same form.

    Raises:
        FileNotFoundError: there is no such generator.
        ValueError: it makes other images than the experiment is about, or arguments do not fit each other.
    """
    if config.init:
        generator = _load_generator(_own(config.init, workdir, "generator"))
        _require(config, generator, f"the generator {config.init!r}")
        return generator
    return _create(sg2.Generator, config, config.generator, streams(config.seed).generator)


def make_discriminator(config: ConfigDict, workdir: Path | None = None) -> sg2.Discriminator:
    """The discriminator in the file `config.init_discriminator`, or a new one of `config.discriminator`.

    Args:
        config: the experiment.
        workdir: as of `make_generator`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it takes other images or batches than the experiment's, or arguments do not fit each other.
    """
    if config.init_discriminator:
        discriminator = sg2.load(_own(config.init_discriminator, workdir, "discriminator"), which="D")
        _require(config, discriminator, f"the discriminator in {config.init_discriminator}")
    else:
        discriminator = _create(sg2.Discriminator, config, config.discriminator, streams(config.seed).discriminator)
    shape = (config.train.batch_size, config.resolution, config.resolution, config.channels)
    jax.eval_shape(discriminator, jax.ShapeDtypeStruct(shape, jnp.float32))  # refuses a batch that makes no groups
    return discriminator


def _create(kind: type[Network], config: ConfigDict, arguments: ConfigDict, key: Key[Array, ""]) -> Network:
    """A new network of the experiment's images."""
    sizes = {"img_resolution": config.resolution, "img_channels": config.channels}
    try:
        return jax.jit(lambda key: kind(**sizes, **arguments.to_dict(), rngs=nnx.Rngs(key)))(key)
    except TypeError as error:  # an argument that there is not
        raise ValueError(f"the config's arguments of {kind.__name__} are not its own: {error}") from None


def _own(name: str, workdir: Path | None, network: str) -> str:
    """The name; or the run's own network, where a file of that name is gone and the run has begun."""
    own = None if workdir is None else workdir / f"{network}.safetensors"
    if own is None or not own.exists() or not Path(name).is_absolute() or Path(name).exists():
        return name
    return str(own)


def _load_generator(name: str) -> sg2.Generator:
    if factory := plugins.find(plugins.GENERATORS, name):
        return factory()
    try:
        network = sg2.load(name)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no generator to start from: init={name!r} is neither a file "
            f"nor offered by an installed package ({plugins.offered(plugins.GENERATORS)})"
        ) from None
    if not isinstance(network, sg2.Generator):
        raise ValueError(f"init={name!r} holds no generator")
    return network


def _require(config: ConfigDict, network: sg2.Generator | sg2.Discriminator, what: str) -> None:
    there = (network.img_resolution, network.img_channels, network.init_kwargs["c_dim"])
    if there != (config.resolution, config.channels, 0):
        raise ValueError(
            f"{what} is for {there[0]} px, {there[1]} channels and {there[2]} label classes; "
            f"this experiment trains on {config.resolution} px and {config.channels} channels, without labels"
        )
