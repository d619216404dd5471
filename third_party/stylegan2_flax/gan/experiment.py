"""Training of a generator from a config, in a workdir."""

from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from stylegan2_flax import plugins
from stylegan2_flax.gan import rules
from stylegan2_flax.gan.data import open_images
from stylegan2_flax.gan.networks import make_discriminator, make_generator
from stylegan2_flax.gan.score import Features, opaque, open_features
from stylegan2_flax.gan.state import TrainState
from stylegan2_flax.gan.trainer import make_schedule, make_trainer
from stylegan2_flax.run import parallel
from stylegan2_flax.run.config_record import record_config, undo_on_error
from stylegan2_flax.run.lock import locked
from stylegan2_flax.run.loop import train
from stylegan2_flax.run.recorder import check_tensorboard

MAY_CHANGE = (
    "init",
    "init_discriminator",
    "train.total_kimg",
    "train.max_minutes",
    "train.checkpoint_kimg",
    "train.keep_checkpoints",
    "train.profile_steps",
    "train.tensorboard",
    "snapshot.kimg",
    "score.kimg",
    "data.source",
    "data.directory",
    "data.workers",
    "data.prefetch",
)
"""The fields that a resumed run may change: how long to train, what to write and keep, and the locations of its images
and initial networks."""


def run(config: ConfigDict, workdir: str | Path) -> TrainState:
    """Train a generator and a discriminator, or resume the run in the workdir; see `run.loop.train`.

    Raises:
        ValueError: the config is invalid, or differs from the config of the run in the workdir.
        FileNotFoundError: an initial network does not exist.
        ImportError: the config needs a package that is not installed.
        OSError: another process is training in the workdir.
    """
    workdir = Path(workdir)
    # Everything is validated before anything is written.
    rules.check(config)
    check_tensorboard(config.train.tensorboard)
    mesh = parallel.make_mesh(config.train.batch_size)
    config = _with_absolute_paths(config)
    images = open_images(config.data, config.resolution, config.channels)
    features = _open_features(config)
    generator, discriminator = make_generator(config, workdir), make_discriminator(config, workdir)  # takes longest
    with locked(workdir):
        with undo_on_error(workdir):
            with parallel.first_process_first("workdir"):
                record_config(config, workdir, MAY_CHANGE)
            trainer = make_trainer(config, workdir, generator, discriminator, images, features, mesh)
        return train(trainer, make_schedule(config), workdir)


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
