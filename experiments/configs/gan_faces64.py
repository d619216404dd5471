"""Parametric faces at 64 px, adversarially: the bundled generator is trained on against a discriminator.

    python -m stylegan2_flax.train --config=experiments/configs/gan_faces64.py --workdir=runs/gan_faces64
    python -m stylegan2_flax.train --config=experiments/configs/gan_faces64.py:gpu --workdir=runs/gan_faces64_gpu

    hardware   two CPU cores; `gpu`: one GPU
    minutes    37 on two cores busy with other work; `gpu`: not measured yet
    expect     with the bundled generator's forerunner, no gain in so short a run. The score (Frechet distance in the
               judge's features, 4,096 images, one seed) started at 1.66, stayed there while the discriminator learnt
               alone (8 kimg), and then rose: 1.73, 1.85, 2.09 and, at 24 kimg, 2.30. Faces got sharper outlines, but a
               grain on cheeks and backgrounds, and left the truth that they were taught: 22.6 dB of 27.0, R^2 read by
               judge_b 0.78 of 0.90. Not run yet with today's

Run the same command again to resume. `gpu` stops after nine minutes: repeat it until training is done.

Switches, after a colon and separated by commas (`gan_faces64.py:gpu,scratch`):
    gpu       a larger batch and discriminator, bfloat16, pieces of nine minutes: not measured yet
    scratch   a new generator of the bundled one's form instead of the bundled one: not measured yet
"""

from ml_collections import ConfigDict

from disentangle_jax.configs import parse_switches

SWITCHES = ("gpu", "scratch")


def get_config(arg: str = "") -> ConfigDict:
    """The run for two cores, or what the switches in `arg` make of it."""
    switches = parse_switches(arg, SWITCHES)
    config = ConfigDict()
    config.seed = 0  # of all randomness: initial weights, the order of images, every step
    config.resolution = 64  # of images, in pixels
    config.channels = 3  # 3 for colour, 1 for grey, 4 for colour with transparency
    config.init = "faces64"  # a generator to start from: a name, or a file for stylegan2_flax.load; "": a new one
    config.init_discriminator = ""  # a file with a discriminator to start from; "" for a new one

    # Real images.
    config.data = ConfigDict()
    config.data.source = "parametric_faces"  # a name, a folder of images, or tfds:NAME[:SPLIT]
    config.data.mirror = False  # show each image flipped half of the time
    config.data.background = "white"  # color behind transparent pixels of stored images
    config.data.unreadable = "refuse"  # files that cannot be read: "refuse" to start, or "skip" them
    config.data.directory = ""  # of TFDS datasets; "" for TFDS' own
    config.data.workers = 4  # threads that read stored images
    config.data.prefetch = 2  # batches to read ahead

    # New networks; arguments of stylegan2_flax.Generator and Discriminator. One that is loaded keeps its own.
    config.generator = ConfigDict()
    config.generator.z_dim = 64
    config.generator.w_dim = 64
    config.generator.mapping_kwargs = ConfigDict({"num_layers": 2})
    config.generator.synthesis_kwargs = ConfigDict({"channel_base": 1024, "channel_max": 96})
    config.discriminator = ConfigDict()
    config.discriminator.channel_base = 1024
    config.discriminator.channel_max = 96
    config.discriminator.conv_clamp = 256  # prevents overflow in half precision
    config.discriminator.num_fp16_res = 4  # the highest resolutions, which compute in train.dtype
    config.discriminator.epilogue_kwargs = ConfigDict({"mbstd_group_size": 4})

    config.loss = ConfigDict()
    config.loss.style_mixing = 0.9  # fraction of batches with style mixing
    config.loss.r1 = ConfigDict()
    config.loss.r1.gamma = 0.05  # weight of the discriminator's gradient penalty; 0: none
    config.loss.r1.interval = 16  # steps between penalties
    config.loss.path_length = ConfigDict()
    config.loss.path_length.weight = 0.0  # of the generator's path length penalty; 0: none
    config.loss.path_length.interval = 4
    config.loss.path_length.decay = 0.01  # of the running mean of path lengths
    config.loss.path_length.batch_shrink = 2  # divisor of the batch size for the penalty

    # Adam.
    config.optimizer = ConfigDict()
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.generator = ConfigDict({"learning_rate": 0.0003})
    config.optimizer.discriminator = ConfigDict({"learning_rate": 0.002})

    # The averaged generator, which inference uses.
    config.ema = ConfigDict()
    config.ema.kimg = 5.0  # half-life, in thousands of images
    config.ema.rampup = 0.0  # upper bound of the half-life, as a fraction of the images seen; 0: none

    # Augmentation of what the discriminator sees.
    config.augment = ConfigDict()
    config.augment.mode = "off"  # "ada" adapts its probability, "fixed" keeps it; faces drawn anew each time need none
    config.augment.pipeline = "bgc"  # "blit", "geom", "color", "bg", "bgc"
    config.augment.p = 0.0  # initial probability of each transform
    config.augment.target = 0.6  # target of "ada" for the mean sign of D(real)
    config.augment.interval = 4  # steps between updates of the probability
    config.augment.kimg = 500.0  # thousands of images in which the probability can change from 0 to 1

    config.train = ConfigDict()
    config.train.batch_size = 16  # images a step, over all devices
    config.train.dtype = "float32"  # what the high resolutions compute in: "float32", "bfloat16", "float16"
    config.train.remat = False  # recompute activations in gradients: slower, less memory
    config.train.total_kimg = 24.0  # length of training, in thousands of images
    config.train.alone_kimg = 8.0  # thousands of images with updates of the discriminator only
    config.train.max_minutes = 0.0  # stop after this time, with a checkpoint; 0: no limit
    config.train.log_kimg = 0.5  # between lines of metrics.jsonl
    config.train.checkpoint_kimg = 4.0
    config.train.keep_checkpoints = 2  # number of latest checkpoints
    config.train.profile_steps = (0, 0)  # first and last step to trace into WORKDIR/profile; (0, 0): none
    config.train.tensorboard = False  # write for TensorBoard too; needs tensorboardX

    # Snapshots: a grid of images, and files of both networks.
    config.snapshot = ConfigDict()
    config.snapshot.kimg = 4.0  # thousands of images between snapshots
    config.snapshot.rows = 4
    config.snapshot.columns = 8

    # The Fréchet distance to real images; the generator with the best one is kept.
    config.score = ConfigDict()
    config.score.features = "faces_judge"  # a registered network, or inception:PATH; "": no score
    config.score.kimg = 4.0
    config.score.num_samples = 4096  # real and generated images; compare scores of equal numbers only
    config.score.batch_size = 64

    if "gpu" in switches:
        config.discriminator.channel_base = 8192
        config.discriminator.channel_max = 256
        config.train.update(batch_size=64, dtype="bfloat16", total_kimg=6000.0, max_minutes=9.0)
        config.train.update(log_kimg=8.0, checkpoint_kimg=200.0)
        config.ema.kimg = 20.0
        config.snapshot.kimg = 200.0
        config.score.update(kimg=200.0, num_samples=16384, batch_size=512)
    if "scratch" in switches:
        config.init = ""
        config.train.alone_kimg = 0.0
        config.loss.path_length.weight = 2.0
        config.ema.rampup = 0.05
        for network in ("generator", "discriminator"):
            config.optimizer[network].learning_rate = 0.0025
    return config
