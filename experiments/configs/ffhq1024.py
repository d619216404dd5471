"""Appearance and structure of photographs of faces at 1024 px, from a published StyleGAN2 checkpoint and nothing else.

    python -m disentangle_jax.train --config=experiments/configs/ffhq1024.py --config.generator=PATH --workdir=runs/ffhq
    python -m disentangle_jax.evaluate --workdir=runs/ffhq

    hardware   a GPU or TPU with 16 GB; the batch is sharded over what there is
    minutes    not measured yet
    expect     not measured yet

All is as in ffhq256.py, its switches and the commands for one device, eight, and several hosts too: what is trained
works on latents, 18 x 512 of them a face here, and never draws a picture. Only the evaluation does, fewer at a time.
"""

from ml_collections import ConfigDict

from disentangle_jax.configs import ffhq256


def get_config(arg: str = "") -> ConfigDict:
    """The run for one device, or what the switches in `arg` make of it."""
    config = ffhq256.get_config(arg)
    config.evaluation.batch_size = 4
    return config
