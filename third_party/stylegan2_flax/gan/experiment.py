"""A whole experiment: from a config and a workdir to a trained generator."""

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
from stylegan2_flax.gan.trainer import make_trainer, schedule_of
from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run.config_record import record, undone_if_refused
from stylegan2_flax.run.lock import owned
from stylegan2_flax.run.loop import train
from stylegan2_flax.run.recorder import check_board

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
    "data.workers",
    "data.prefetch",
)
"""What a resumed run may set anew: how long it goes on, what it writes and keeps, where its images and the networks lie
that it started from, and how it reads them."""


def run(config: ConfigDict, workdir: str | Path) -> TrainState:
    """Train what the config describes, or go on where the workdir stands; see `run.loop.train`.

    Raises:
        ValueError: the config is invalid, or is not the one that the workdir's run began with.
        FileNotFoundError: there is no such file to start from.
        ImportError: what the config asks for needs a package that is not installed.
        OSError: another process is at work in the workdir.
    """
    workdir = Path(workdir)
    # What is invalid is refused before anything is written.
    rules.check(config)
    check_board(config.train.tensorboard)
    mesh = parallel.make_mesh(config.train.batch_size)
    config = _with_absolute_paths(config)
    generator, discriminator = make_generator(config, workdir), make_discriminator(config, workdir)
    images = open_images(config.data, config.resolution, config.channels)
    features = _open_features(config)
    with owned(workdir):
        with undone_if_refused(workdir):
            with parallel.first_process_first("workdir"):
                record(config, workdir, MAY_CHANGE)
            trainer = make_trainer(config, workdir, generator, discriminator, images, features, mesh)
        return train(trainer, schedule_of(config), workdir)


def _with_absolute_paths(config: ConfigDict) -> ConfigDict:
    """The config as the workdir records it, so that the same run goes on from any folder."""
    config = config.copy_and_resolve_references()
    paths = (
        (config, "init", plugins.GENERATORS),
        (config, "init_discriminator", None),
        (config.data, "source", plugins.IMAGES),
    )
    for section, name, group in paths:
        value = section[name]
        is_offered = group is not None and plugins.find(group, value) is not None
        if value and not is_offered and (path := Path(value).expanduser()).exists():
            section[name] = str(path.absolute())
    return config


def _open_features(config: ConfigDict) -> Features | None:
    """What images are scored by, if they are. Raises ValueError if it does not take the experiment's images."""
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
