"""A whole experiment: from a config and a workdir to a trained generator."""

from functools import reduce
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from PIL import ImageColor

from stylegan2_flax.augment import PIPELINES
from stylegan2_flax.gan import loop
from stylegan2_flax.gan.data import open_images
from stylegan2_flax.gan.folder import UNREADABLE
from stylegan2_flax.gan.networks import make_discriminator, make_generator
from stylegan2_flax.gan.score import open_features
from stylegan2_flax.gan.snapshots import Exhibit
from stylegan2_flax.gan.state import TrainState, graphdefs, streams
from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run.config_record import record

MAY_CHANGE = (
    "train.total_kimg",
    "train.max_minutes",
    "train.checkpoint_kimg",
    "train.keep_checkpoints",
    "snapshot.kimg",
    "score.kimg",
    "data.workers",
    "data.prefetch",
)
"""What a resumed run may set anew: how long it goes on, what it writes and keeps, and how it reads its images."""

_CHOICES = {
    "train.dtype": ("float32", "bfloat16", "float16"),
    "augment.mode": ("ada", "fixed", "off"),
    "augment.pipeline": tuple(PIPELINES),
    "data.unreadable": UNREADABLE,
}
_POSITIVE = (
    "train.batch_size",
    "train.total_kimg",
    "train.log_kimg",
    "train.checkpoint_kimg",
    "train.keep_checkpoints",
    "loss.path_length.interval",
    "loss.path_length.batch_shrink",
    "loss.r1.interval",
    "augment.interval",
    "augment.kimg",
    "ema.kimg",
    "snapshot.kimg",
    "snapshot.rows",
    "snapshot.columns",
    "score.kimg",
    "score.num_samples",
    "score.batch_size",
    "data.workers",
)


def run(config: ConfigDict, workdir: str | Path) -> TrainState:
    """Train what the config describes, or go on where the workdir stands; see `loop.train`.

    Raises:
        ValueError: the config asks for the impossible, or is not the one that the workdir's run began with.
        FileNotFoundError: there is no such file to start from.
    """
    check(config)
    mesh = parallel.make_mesh(config.train.batch_size)
    generator, discriminator = make_generator(config), make_discriminator(config)
    images = open_images(config.data, config.resolution, config.channels)
    batches = images.batches(config.train.batch_size, streams(config.seed).data, parallel.over_batch(mesh))
    features = open_features(config.score.features) if config.score.features else None
    record(config, workdir, MAY_CHANGE)  # what is impossible was refused before anything is written
    exhibit = Exhibit(config, Path(workdir), graphdefs(generator, discriminator), mesh, images, features)
    return loop.train(config, Path(workdir), generator, discriminator, batches, exhibit, mesh)


def check(config: ConfigDict) -> None:
    """Raise ValueError for the first value that no run can use; networks and data check their own."""
    for name, choices in _CHOICES.items():
        if _field(config, name) not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {_field(config, name)!r}")
    for name in _POSITIVE:
        if not _field(config, name) > 0:
            raise ValueError(f"{name} must be positive, got {_field(config, name)}")
    if config.score.num_samples % config.score.batch_size:
        raise ValueError(
            f"score.num_samples must be a multiple of score.batch_size ({config.score.batch_size}), "
            f"got {config.score.num_samples}"
        )
    try:
        ImageColor.getrgb(config.data.background)
    except ValueError as error:
        raise ValueError(f'data.background must be a colour such as "white" or "#808080": {error}') from None
    if not 0 <= config.augment.p <= 1:
        raise ValueError(f"augment.p is a probability from 0 to 1, got {config.augment.p}")


def _field(config: ConfigDict, name: str) -> Any:
    return reduce(getattr, name.split("."), config)
