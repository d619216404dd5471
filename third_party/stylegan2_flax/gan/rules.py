"""Validation of the config of a GAN experiment, as far as possible without its images and networks."""

from typing import Any

from ml_collections import ConfigDict
from PIL import ImageColor

from stylegan2_flax.augment import PIPELINES
from stylegan2_flax.gan.folder import UNREADABLE
from stylegan2_flax.run import config_rules
from stylegan2_flax.run.config_rules import Rule, at_least, between, flag, one_of, positive, window

_COUNT, _SIZE, _NONE = at_least(1), positive(), positive(or_zero=True)


def _is_colour(value: Any) -> bool:
    return bool(ImageColor.getrgb(value))  # ValueError if it is unknown


RULES = {
    "seed": config_rules.seed(),
    "resolution": Rule(lambda value: value >= 4 and value & (value - 1) == 0, "a power of two from 4 on"),
    "channels": one_of(1, 3, 4),
    "data.background": Rule(_is_colour, 'a colour such as "white" or "#808080"'),
    "data.unreadable": one_of(*UNREADABLE),
    "data.mirror": flag(),
    "data.workers": _COUNT,
    "data.prefetch": at_least(0),
    "loss.style_mixing": between(0, 1),
    "loss.r1.gamma": _NONE,
    "loss.r1.interval": _COUNT,
    "loss.path_length.weight": _NONE,
    "loss.path_length.interval": _COUNT,
    "loss.path_length.decay": between(0, 1),
    "loss.path_length.batch_shrink": _COUNT,
    "optimizer.b1": between(0, 1, without_high=True),
    "optimizer.b2": between(0, 1, without_high=True),
    "optimizer.generator.learning_rate": _SIZE,
    "optimizer.discriminator.learning_rate": _SIZE,
    "ema.kimg": _SIZE,
    "ema.rampup": _NONE,
    "augment.mode": one_of("ada", "fixed", "off"),
    "augment.pipeline": one_of(*PIPELINES),
    "augment.p": between(0, 1),
    "augment.target": between(-1, 1),
    "augment.interval": _COUNT,
    "augment.kimg": _SIZE,
    "train.batch_size": _COUNT,
    "train.dtype": one_of("float32", "bfloat16", "float16"),
    "train.remat": flag(),
    "train.total_kimg": _SIZE,
    "train.alone_kimg": _NONE,
    "train.max_minutes": _NONE,
    "train.log_kimg": _SIZE,
    "train.checkpoint_kimg": _SIZE,
    "train.keep_checkpoints": _COUNT,
    "train.profile_steps": window(),
    "train.tensorboard": flag(),
    "snapshot.kimg": _SIZE,
    "snapshot.rows": _COUNT,
    "snapshot.columns": _COUNT,
    "score.kimg": _SIZE,
    "score.num_samples": at_least(2),
    "score.batch_size": _COUNT,
}


_OTHERS = (
    *("data.source", "data.directory", "score.features", "init", "init_discriminator"),
    *("generator.*", "discriminator.*"),
)
"""The fields that networks and data check themselves."""


def check(config: ConfigDict) -> None:
    """Check all fields, except those that networks and data check themselves.

    Raises:
        ValueError: fields are missing, invalid or contradict each other; the message names all of them.
    """
    config_rules.check(config, RULES, _check_samples, _check_channels, _check_labels)
    config_rules.check_known(config, [*RULES, *_OTHERS])


def _check_samples(config: ConfigDict) -> str | None:
    if config.score.num_samples % config.score.batch_size == 0:
        return None
    return (
        f"score.num_samples must be a multiple of score.batch_size ({config.score.batch_size}), "
        f"got {config.score.num_samples}"
    )


def _check_channels(config: ConfigDict) -> str | None:
    options = config.augment
    if options.mode == "off" or "color" not in PIPELINES[options.pipeline] or config.channels in (1, 3):
        return None
    return f"augment.pipeline={options.pipeline} changes colours, which needs 1 or 3 channels: choose bg, geom or blit"


def _check_labels(config: ConfigDict) -> str | None:
    if not any(network.get("c_dim") for network in (config.generator, config.discriminator)):
        return None
    return (
        "generator.c_dim and discriminator.c_dim must be 0: networks with label classes can be loaded, drawn "
        "(stylegan2_flax.sample --class) and used for clips, but not trained here"
    )
