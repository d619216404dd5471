"""Appearance and structure of photographs of faces at 256 px, from a published StyleGAN2 checkpoint and nothing else.

    python -m disentangle_jax.train --config=experiments/configs/ffhq256.py --config.generator=PATH --workdir=runs/ffhq
    python -m disentangle_jax.evaluate --workdir=runs/ffhq

PATH is any file that stylegan2_flax.load reads, or its URL. Other domains of one object (cats, cars) go the same way.
No scorer knows these pictures, so the directions come from the generator's weights (SeFa), and of the evaluation there
remains what needs no truth: reconstruction, restlessness of transferred motion, retrieval, what each code tells about
the other's part of the clips, and, with the extra `portraits`, identity, expression and pose of driven clips
(--arcface=FILE: CSIM). Neither R^2 of factors nor the PSNR of a transfer to its exact answer can be had. On the
bundled faces a model on SeFa's directions transfers little (0.13 / -0.15), on those of a few videos or of a scorer much
more: docs/generator.md.

    hardware   a GPU or TPU with 16 GB; the batch is sharded over what there is
    minutes    not measured yet
    expect     not measured yet

Where to run what stands above, `train` standing for it:
    CUDA, one device           CUDA_VISIBLE_DEVICES=0 train
    CUDA, one host of eight    train, with ffhq256.py:wide
    CUDA, several hosts        srun --nodes=4 --gpus-per-node=8 --ntasks-per-node=8 train, with ffhq256.py:wide;
                               without Slurm, on host I of four:
                               train --coordinator=HOST0:1234 --num_processes=4 --process_id=I
    TPU, one device            train, on a machine such as v5litepod-1
    TPU, one host of eight     train, with ffhq256.py:wide, on a v5litepod-8
    TPU, several hosts         experiments/launch/tpu.sh create, which installs what is needed, then
                               experiments/launch/tpu.sh train --config=ffhq256:wide --workdir=gs://...
Several hosts need a workdir that all of them see: a shared disk, or a bucket (gs://, extra `gcs`). The same command
goes on after whatever stopped it.

Switches, after a colon and separated by commas (`ffhq256.py:pca,wide`):
    pca     directions from the principal axes of latents (GANSpace) instead of the weights
    scorer  directions and clips of a scorer of yours, --config.directions.scorer=package.module:factory, as the bundled
            model has them: moved by a readout of its factors, with the loss of these. Not measured on photographs
    wide    1,024 clips a step, for eight devices or more
"""

from ml_collections import ConfigDict

from disentangle_jax.configs import faces64, parse_switches

SWITCHES = ("pca", "scorer", "wide")


def get_config(arg: str = "") -> ConfigDict:
    """The run for one device, or what the switches in `arg` make of it. What the fields mean stands in faces64.py."""
    switches = parse_switches(arg, SWITCHES)
    if {"pca", "scorer"} <= set(switches):
        raise ValueError("directions are of pca or of a scorer: leave out one of the two switches")
    if "scorer" in switches:
        config = faces64.get_config()
        config.directions.scorer = "say which, with --config.directions.scorer=package.module:factory"
    else:
        config = faces64.get_config("linear")
        config.directions.source = "pca" if "pca" in switches else "sefa"
    config.generator = "say which, with --config.generator=PATH"
    config.directions.layers = (0, 6)  # 4 to 32 px: pose and the shape of features; colours come later
    config.directions.num = 12
    config.clips.mix_from = 7  # from 64 px on
    config.clips.truncation_psi = 0.7  # where published generators draw well
    config.model.appearance_dim = 512
    config.model.embed_dim = 64
    config.model.width = 1024
    config.model.dtype = "bfloat16"
    config.optimizer.name = "adamw"  # at this width and batch Muon would cost several times the rest of a step
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 1000
    config.train.num_steps = 50_000
    config.train.checkpoint_every = 2000
    config.evaluation.batch_size = 16
    if "wide" in switches:
        config.train.batch_size = 1024
        config.train.num_steps = 20_000
    return config
