"""Published hyperparameters of StyleGAN2 training, as functions of the resolution.

Source: Karras et al. 2020, arXiv:2006.06676, appendix C, and the names and defaults of StyleGAN2-ADA's command line.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Preset(NamedTuple):
    """The hyperparameters of a preset."""

    kimg: float  # length of training, in thousands of images
    batch: int
    group: int  # images compared in the minibatch standard deviation
    channels: float  # channels of all layers, relative to those of config F; never more than 512
    rate: float  # learning rate of both networks
    gamma: float  # weight of R1
    ema_kimg: float  # half-life of the averaged generator, in thousands of images
    rampup: float  # upper bound of the half-life, as a fraction of the images seen so far; 0: none
    mapping_layers: int


def auto(resolution: int, devices: int = 1) -> Preset:
    """Hyperparameters for any resolution, on a few devices."""
    batch = max(min(devices * min(4096 // resolution, 32), 64), devices)
    return Preset(
        kimg=25000.0,
        batch=batch,
        group=min(batch // devices, 4),
        channels=1.0 if resolution >= 512 else 0.5,
        rate=0.002 if resolution >= 1024 else 0.0025,
        gamma=0.0002 * resolution**2 / batch,
        ema_kimg=batch * 10 / 32,
        rampup=0.05,
        mapping_layers=2,
    )


FIXED = {
    "stylegan2": Preset(25000.0, 32, 4, 1.0, 0.002, 10.0, 10.0, 0.0, 8),
    "paper256": Preset(25000.0, 64, 8, 0.5, 0.0025, 1.0, 20.0, 0.0, 8),
    "cifar": Preset(100000.0, 64, 32, 1.0, 0.0025, 0.01, 500.0, 0.05, 2),
}
NAMES = ("auto", *FIXED)


def apply(config: ConfigDict, name: str, devices: int = 1) -> None:
    """Set the hyperparameters of a preset in a config, for its resolution.

    Args:
        config: the experiment; it is changed.
        name: one of `NAMES`.
        devices: number of devices, on which the batch size of "auto" depends.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in NAMES:
        raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(NAMES)}")
    preset = auto(config.resolution, devices) if name == "auto" else FIXED[name]
    blocks = {"channel_base": round(32768 * preset.channels), "channel_max": 512, "conv_clamp": 256, "num_fp16_res": 4}
    config.generator = ConfigDict(
        {
            "z_dim": 512,
            "w_dim": 512,
            "mapping_kwargs": {"num_layers": preset.mapping_layers},
            "synthesis_kwargs": blocks,
        }
    )
    config.discriminator = ConfigDict({**blocks, "epilogue_kwargs": {"mbstd_group_size": preset.group}})
    for network in ("generator", "discriminator"):
        config.optimizer[network].learning_rate = preset.rate
    config.loss.r1.gamma = preset.gamma
    config.ema.update(kimg=preset.ema_kimg, rampup=preset.rampup)
    config.train.update(batch_size=preset.batch, total_kimg=preset.kimg)
    if name == "cifar":
        config.discriminator.architecture = "orig"
        config.loss.path_length.weight = 0.0
        config.loss.style_mixing = 0.0
