"""Parametric faces at 64 px, adversarially: the bundled generator is trained on against a discriminator.

    python -m stylegan2_flax.train --config=experiments/configs/gan_faces64.py --workdir=runs/gan_faces64
    python -m stylegan2_flax.train --config=experiments/configs/gan_faces64.py:gpu --workdir=runs/gan_faces64_gpu

    hardware   two CPU cores; `gpu`: one GPU
    minutes    37 on two cores busy with other work; `gpu`: not measured yet
    expect     no gain in so short a run. The score (Frechet distance in the judge's features, 4,096 images, one seed)
               starts at 1.66, stays there while the discriminator learns alone (8 kimg), and then rises: 1.73, 1.85,
               2.09 and, at 24 kimg, 2.30. Faces get sharper outlines, but a grain on cheeks and backgrounds, and leave
               the truth that they were taught: 22.6 dB of 27.0, R^2 read by judge_b 0.78 of 0.90. The bundled
               generator is the one from before.

The same command again goes on. `gpu` stops after nine minutes by itself: repeat it until it says that it is done.

Switches, after a colon and separated by commas (`gan_faces64.py:gpu,scratch`):
    gpu       a larger batch and discriminator, bfloat16, pieces of nine minutes: not measured yet
    scratch   a new generator of the bundled one's form instead of the bundled one: not measured yet
"""

from ml_collections import ConfigDict

SWITCHES = ("gpu", "scratch")


def get_config(arg: str = "") -> ConfigDict:
    """The run for two cores, or what the switches in `arg` make of it."""
    switches = [switch for switch in arg.split(",") if switch]
    for switch in switches:
        if switch not in SWITCHES:
            raise ValueError(f"unknown switch {switch!r}: this config knows {', '.join(SWITCHES)}")

    config = ConfigDict()
    config.seed = 0  # of everything random: new weights, the order of images, every step
    config.resolution = 64  # of images, in pixels
    config.channels = 3  # 3 for colour, 1 for grey, 4 for colour with transparency
    config.init = (
        "faces64"  # a generator to start from: a name, or a file that stylegan2_flax.load reads; "": a new one
    )
    config.init_discriminator = ""  # a file with a discriminator to start from; "" for a new one

    # Real images.
    config.data = ConfigDict()
    config.data.source = "parametric_faces"  # a name, a folder of images, or tfds:NAME[:SPLIT]
    config.data.mirror = False  # show each image flipped half of the time
    config.data.background = "white"  # what shows through transparent parts of stored images
    config.data.unreadable = "refuse"  # of a folder's files: "refuse" to start, or "skip" them
    config.data.directory = ""  # of TFDS datasets; "" for TFDS' own
    config.data.workers = 4  # threads that read stored images
    config.data.prefetch = 2  # batches that they read ahead

    # New networks; arguments of stylegan2_flax.Generator and Discriminator. One that is loaded keeps its own.
    config.generator = ConfigDict()
    config.generator.z_dim = 64
    config.generator.w_dim = 64
    config.generator.mapping_kwargs = ConfigDict({"num_layers": 2})
    config.generator.synthesis_kwargs = ConfigDict({"channel_base": 1024, "channel_max": 96})
    config.discriminator = ConfigDict()
    config.discriminator.channel_base = 1024
    config.discriminator.channel_max = 96
    config.discriminator.conv_clamp = 256  # keeps half precision finite
    config.discriminator.num_fp16_res = 4  # the highest resolutions, which compute in train.dtype
    config.discriminator.epilogue_kwargs = ConfigDict({"mbstd_group_size": 4})

    config.loss = ConfigDict()
    config.loss.style_mixing = 0.9  # share of batches whose latents are mixed from two
    config.loss.r1 = ConfigDict()
    config.loss.r1.gamma = 0.05  # weight of the discriminator's gradient penalty; 0: none
    config.loss.r1.interval = 16  # steps from one to the next
    config.loss.path_length = ConfigDict()
    config.loss.path_length.weight = 0.0  # of the generator's path length penalty; 0: none
    config.loss.path_length.interval = 4
    config.loss.path_length.decay = 0.01  # of the running mean of path lengths
    config.loss.path_length.batch_shrink = 2  # it is taken on a batch smaller by this

    # Adam.
    config.optimizer = ConfigDict()
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.generator = ConfigDict({"learning_rate": 0.0003})
    config.optimizer.discriminator = ConfigDict({"learning_rate": 0.002})

    # The average of the generator, which is what is used.
    config.ema = ConfigDict()
    config.ema.kimg = 5.0  # its half-life, in thousands of images
    config.ema.rampup = 0.0  # a new generator's half-life is at most this share of the images seen; 0: no such bound

    # Augmentation of what the discriminator sees.
    config.augment = ConfigDict()
    config.augment.mode = "off"  # "ada" adapts its probability, "fixed" keeps it; faces drawn anew each time need none
    config.augment.pipeline = "bgc"  # "blit", "geom", "color", "bg", "bgc"
    config.augment.p = 0.0  # the probability of each transform, at first
    config.augment.target = 0.6  # the mean sign of D(real) that "ada" steers at
    config.augment.interval = 4  # steps from one adaptation to the next
    config.augment.kimg = 500.0  # thousands of images in which the probability may move from 0 to 1

    config.train = ConfigDict()
    config.train.batch_size = 16  # images a step, over all devices
    config.train.dtype = "float32"  # what the high resolutions compute in: "float32", "bfloat16", "float16"
    config.train.remat = False  # compute activations again for gradients: slower, in less memory
    config.train.total_kimg = 24.0  # thousands of images to learn from
    config.train.alone_kimg = 8.0  # thousands of images during which a new discriminator learns alone
    config.train.max_minutes = 0.0  # stop after so many, with a checkpoint to go on from; 0: no such bound
    config.train.log_kimg = 0.5  # between lines of metrics.jsonl
    config.train.checkpoint_kimg = 4.0
    config.train.keep_checkpoints = 2  # the latest ones
    config.train.profile_steps = (0, 0)  # first and last step to trace into WORKDIR/profile; (0, 0): none
    config.train.tensorboard = False  # write for TensorBoard too; needs tensorboardX

    # What the run shows: a grid of images, and both networks in files of their own.
    config.snapshot = ConfigDict()
    config.snapshot.kimg = 4.0  # between one and the next
    config.snapshot.rows = 4
    config.snapshot.columns = 8

    # The Fréchet distance to real images; the generator with the best one is kept.
    config.score = ConfigDict()
    config.score.features = "faces_judge"  # whose features: a name, or inception:PATH of your weights; "" for no score
    config.score.kimg = 4.0
    config.score.num_samples = 4096  # of each side; scores of other numbers do not compare
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
