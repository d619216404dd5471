"""Training of a generator from a config, in a workdir."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from stylegan2_flax import plugins
from stylegan2_flax.files import AnyPath, as_path
from stylegan2_flax.gan import rules
from stylegan2_flax.gan.data import RealImages, open_images
from stylegan2_flax.gan.networks import make_discriminator, make_generator
from stylegan2_flax.gan.score import Features, opaque, open_features
from stylegan2_flax.gan.state import TrainState, init_state, split_graphdefs
from stylegan2_flax.gan.step import jit_phases, make_optimizers, shares
from stylegan2_flax.gan.trainer import make_schedule, make_trainer
from stylegan2_flax.run import parallel
from stylegan2_flax.run.config_record import check_record, record_config, undo_on_error
from stylegan2_flax.run.dry_run import Program, report
from stylegan2_flax.run.lock import locked
from stylegan2_flax.run.loop import train
from stylegan2_flax.run.recorder import check_tensorboard
from stylegan2_flax.run.trees import abstract

MAY_CHANGE = (
    "init",
    "init_discriminator",
    "train.total_kimg",
    "train.max_minutes",
    "train.checkpoint_kimg",
    "train.keep_checkpoints",
    "train.profile_steps",
    "train.tensorboard",
    "snapshot.",
    "score.kimg",
    "score.batch_size",
    "data.source",
    "data.directory",
    "data.unreadable",
    "data.workers",
    "data.prefetch",
)
"""The fields that a resumed run may change: how long to train, what to write and keep, the locations of its images and
initial networks, and whether unreadable images are skipped: none was found at the start, so the others keep their
order."""


def run(config: ConfigDict, workdir: str | AnyPath) -> TrainState:
    """Train a generator and a discriminator, or resume the run in the workdir; see `run.loop.train`.

    Raises:
        ValueError: the config is invalid, or differs from the config of the run in the workdir.
        FileNotFoundError: an initial network does not exist.
        ImportError: the config needs a package that is not installed.
        OSError: another process is training in the workdir.
    """
    workdir = as_path(workdir)
    parts = _prepare(config, workdir)
    config = parts.config
    with locked(workdir):
        with undo_on_error(workdir):
            with parallel.first_process_first("workdir"):
                record_config(config, workdir, MAY_CHANGE)
            networks = parts.generator, parts.discriminator
            trainer = make_trainer(config, workdir, *networks, parts.images, parts.features, parts.mesh)
        return train(trainer, make_schedule(config), workdir)


def dry_run(config: ConfigDict, workdir: str | AnyPath) -> str:
    """What a step of `run` would need of the devices. Nothing is written, and nothing computed.

    Raises:
        MemoryError: the devices have too little memory, where they tell.
        Exception: what `run` raises at its start.
    """
    parts = _prepare(config, as_path(workdir))
    check_record(parts.config, workdir, MAY_CHANGE)
    config, mesh = parts.config, parts.mesh
    optimizers = make_optimizers(config)
    create = partial(init_state, optimizers=optimizers, augment_p=config.augment.p)
    state = abstract(jax.eval_shape(create, parts.generator, parts.discriminator), parallel.replicated(mesh))
    shape = (config.train.batch_size, config.resolution, config.resolution, config.channels)
    images = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=parallel.over_batch(mesh))
    phases = jit_phases(config, split_graphdefs(parts.generator, parts.discriminator), optimizers, mesh)
    programs = {
        name: Program(phases[name].lower(state, *([images] if name.startswith("discriminator") else [])), share)
        for name, share in shares(config).items()
        if share > 0
    }
    return report(state, state.params, programs, mesh, config.train.batch_size, "images")


class _Parts(NamedTuple):
    """What a run consists of, before anything is written or computed."""

    config: ConfigDict
    mesh: Mesh
    images: RealImages
    features: Features | None
    generator: sg2.Generator
    discriminator: sg2.Discriminator


def _prepare(config: ConfigDict, workdir: AnyPath) -> _Parts:
    """Check everything that can be known at the start, and open what the run needs."""
    rules.check(config)
    check_tensorboard(config.train.tensorboard)
    mesh = parallel.make_mesh(config.train.batch_size)
    config = _with_absolute_paths(config)
    images = open_images(config.data, config.resolution, config.channels)
    features = _open_features(config)
    generator, discriminator = make_generator(config, workdir), make_discriminator(config, workdir)  # takes longest
    return _Parts(config, mesh, images, features, generator, discriminator)


def _with_absolute_paths(config: ConfigDict) -> ConfigDict:
    """The config with absolute paths, so that the run can be resumed from any working directory."""
    config = config.copy_and_resolve_references()
    paths = (
        (config, "init", plugins.GENERATORS),
        (config, "init_discriminator", None),
        (config.data, "source", plugins.IMAGES),
        (config.data, "directory", None),
    )
    for section, name, group in paths:
        value = section[name]
        is_registered = group is not None and plugins.find_factory(group, value) is not None
        if value and not is_registered and (path := Path(value).expanduser()).exists():
            section[name] = str(path.absolute())
    kind, _, name = config.score.features.partition(":")
    if kind == "inception" and (path := Path(name).expanduser()).exists():
        config.score.features = f"inception:{path.absolute()}"
    return config


def _open_features(config: ConfigDict) -> Features | None:
    """The feature network for scores, if there is one. ValueError if it does not accept the experiment's images."""
    if not config.score.features:
        return None
    features = open_features(config.score.features)
    images = jax.ShapeDtypeStruct((1, config.resolution, config.resolution, config.channels), jnp.float32)
    try:
        jax.eval_shape(lambda images: features(opaque(images)), images)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"score.features={config.score.features} does not take images of {config.resolution} px and "
            f"{config.channels} channels: {str(error).splitlines()[0]}"
        ) from None
    return features
