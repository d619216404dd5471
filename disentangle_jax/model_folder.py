"""The folder of a trained model: what is read from a training workdir or an exported folder, and what is exported.

An exported folder holds

    config.json               the config of the training, with the names of files in place of their paths
    model.safetensors         the autoencoder, with averaged parameters
    directions.safetensors    the directions that moved its clips
    readout.safetensors       the latent readout that moved them, if one did
    generator.safetensors     the generator, unless an installed package registers it
    SHA256SUMS                the digest of each file, as the program sha256sum writes and checks them

and what else lies there, such as a model card.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax import arrays, model_sources
from disentangle_jax.directions import Directions
from disentangle_jax.directions.readout import Readout
from disentangle_jax.generators import is_registered, load_recorded
from disentangle_jax.model import Autoencoder
from disentangle_jax.named_files import without_folders
from disentangle_jax.weights import named_arrays, with_arrays
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import checkpoints
from stylegan2_flax.run.config_record import read_config, write_config


class Parts(NamedTuple):
    """What a trained model consists of; see `Disentangler`."""

    autoencoder: Autoencoder
    generator: sg2.Generator
    directions: Directions
    config: ConfigDict
    readout: Readout | None
    steps: int | None


def read(folder: AnyPath) -> Parts:
    """Read a model onto the default device.

    Args:
        folder: a training workdir, for its newest checkpoint, or an exported folder.

    Raises:
        FileNotFoundError: a file is missing, or the workdir has no checkpoint yet.
        ValueError: the folder does not hold an autoencoder, does not fit its config, is too old, or its files have
            changed since they were exported.
    """
    model_sources.check(folder)
    config = read_config(folder)
    _check_record(config, folder)
    generator = load_recorded(config, folder)
    shape = (generator.num_ws, generator.w_dim)
    abstract = nnx.eval_shape(lambda: Autoencoder(jnp.zeros(shape), jnp.ones(shape), **config.model, rngs=nnx.Rngs(0)))
    exported = folder / model_sources.MODEL
    if exported.exists():
        autoencoder, steps = with_arrays(abstract, arrays.load(exported)[0], exported), None
    else:
        autoencoder, steps = _from_checkpoint(abstract, folder / "checkpoints")
    readout = folder / model_sources.READOUT
    return Parts(
        autoencoder,
        generator,
        Directions.load(folder / model_sources.DIRECTIONS),
        config,
        Readout.load(readout) if readout.is_file() else None,
        steps,
    )


def write(parts: Parts, folder: Path) -> None:
    """Write an exported folder. Of an earlier export there, what this model lacks is removed."""
    for name in (model_sources.READOUT, model_sources.GENERATOR):
        (folder / name).unlink(missing_ok=True)
    arrays.save(folder / model_sources.MODEL, named_arrays(parts.autoencoder))
    parts.directions.save(folder / model_sources.DIRECTIONS)
    if parts.readout is not None:
        parts.readout.save(folder / model_sources.READOUT)
    config = without_folders(parts.config)
    if not is_registered(parts.config.generator):
        sg2.save(parts.generator, folder / model_sources.GENERATOR)
        config.generator = model_sources.GENERATOR
    write_config(config, folder)
    model_sources.write_digests(folder)


def _check_record(config: ConfigDict, folder: AnyPath) -> None:
    """Raise ValueError if the config is not that of an autoencoder, or lacks a field that inference needs."""
    if "model" not in config and "discriminator" in config:
        raise ValueError(
            f"{folder} is a training of a StyleGAN2, not of an autoencoder: train one on its generator, with "
            f"--config.generator={folder / 'generator.safetensors'}"
        )
    if "model" not in config or not {"appearance_dim", "structure_dim"} & set(config.model):
        raise ValueError(f"{folder} holds no autoencoder: its config.json is of the training of something else")
    if missing := [field for field in _FIELDS if not _has(config, field)]:
        raise ValueError(
            f"{folder / 'config.json'} lacks {', '.join(missing)}: it is of an older version of this package. Add what "
            "is missing, as disentangle_jax/configs/faces64.py explains it, or train the model anew"
        )


def _has(config: ConfigDict, field: str) -> bool:
    section, _, rest = field.partition(".")
    return section in config and (not rest or _has(config[section], rest))


_FIELDS = (
    "generator",
    "model.appearance_dim",
    "model.structure_dim",
    "clips.truncation_psi",
    "clips.classes",
    "evaluation.motion.num_frames",
    "evaluation.motion.factor_amplitude",
    "evaluation.motion.direction_amplitude",
)
"""The config fields that inference needs."""


def _from_checkpoint(abstract: Autoencoder, folder: AnyPath) -> tuple[Autoencoder, int]:
    """The autoencoder with averaged parameters, and the number of steps that it was trained for."""
    graphdef, params, buffers = nnx.split(abstract, nnx.Param, sg2.Buffer)
    device = SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
        {
            "ema_params": nnx.to_pure_dict(params),
            "buffers": nnx.to_pure_dict(buffers),
            "step": jax.ShapeDtypeStruct((), jnp.int32, sharding=device),
        },
    )
    stored = checkpoints.load(folder, target)
    return nnx.merge(graphdef, stored["ema_params"], stored["buffers"]), int(stored["step"])
