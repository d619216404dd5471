"""Appearance and structure of parametric faces at 64 px, from the bundled generator.

    python -m disentangle_jax.train --config=experiments/configs/faces64.py --workdir=runs/faces64
    python -m disentangle_jax.evaluate --workdir=runs/faces64

    hardware   any: two CPU cores, a GPU, a TPU host; the batch is sharded over what there is
    minutes    not measured yet; about 12 on two cores, from the rate of steps
    expect     not measured yet; no less than the demo's

Switches, after a colon and separated by commas (`faces64.py:demo,no_contrast`):
    demo         a short run for two CPU cores: 2 minutes, structure R^2 0.85, appearance R^2 0.85 (256 pairs, one seed)
    no_contrast  the baseline without both contrastive losses
    plain        the baseline that only rebuilds its input: no contrast, no swaps
"""

from ml_collections import ConfigDict

SWITCHES = ("demo", "no_contrast", "plain")


def get_config(arg: str = "") -> ConfigDict:
    """The full run, or what the switches in `arg` make of it."""
    switches = [switch for switch in arg.split(",") if switch]
    for switch in switches:
        if switch not in SWITCHES:
            raise ValueError(f"unknown switch {switch!r}: this config knows {', '.join(SWITCHES)}")

    config = ConfigDict()
    config.seed = 0  # of everything random: initial weights and clips
    config.generator = "faces64"  # a bundled generator, or the path of a StyleGAN2 file

    # Directions of the latent space that move structure.
    config.directions = ConfigDict()
    config.directions.source = "scorer"  # "scorer", "sefa", "pca", or another run's directions.safetensors
    config.directions.scorer = "judge_a"  # the judge that scores samples; another one, judge_b, scores results
    config.directions.num_samples = 8192  # samples to score, or to take the principal axes of
    config.directions.style_mixing = 0.9  # share of them mixed from two faces, to tell the layers apart
    config.directions.ridge = 1e-2  # penalty of the regression of scores on latents, relative to the latents' variance
    config.directions.layers = (0, 6)  # first and last layer that "sefa" and "pca" move; a scorer finds them by itself
    config.directions.num = 7  # directions that "sefa" and "pca" give; a scorer gives one for each structure factor

    # Synthetic clips: latents moved along the directions.
    config.clips = ConfigDict()
    config.clips.length = 16  # frames of a trajectory
    config.clips.num_frames = 4  # of them, drawn at random, make a clip
    config.clips.trajectories = ("sinusoid", "random_walk")  # one kind a direction, drawn at random
    config.clips.amplitude = 1.0  # of the motion, in standard deviations of the population's own structure
    config.clips.truncation_psi = 1.0  # spread of the faces; below 1 they come closer to the mean face
    config.clips.style_mixing = 0.9  # share of faces mixed from two, so that no layer can stand for another
    config.clips.mix_from = 5  # augmentation: the first layer that may come from another face
    config.clips.change_face = 0.5  # augmentation: share of frames put on another face altogether, in the same motion

    # The autoencoder.
    config.model = ConfigDict()
    config.model.appearance_dim = 256  # wide enough for two faces mixed
    config.model.structure_dim = 32  # narrow: what does not fit cannot leak in
    config.model.embed_dim = 32  # of each latent layer, before the layers meet
    config.model.width = 512  # of the trunks
    config.model.num_blocks = 3  # residual blocks in the encoder, and in the decoder
    config.model.learn_temperature = False  # train the temperatures of the contrasts too, from those below on

    # The objective: weights of its parts, and what shapes the contrasts.
    config.loss = ConfigDict()
    config.loss.weights = ConfigDict()
    config.loss.weights.reconstruction = 1.0  # both codes of a frame give it back
    config.loss.weights.swap = 1.0  # ... with the appearance of another frame of the clip
    config.loss.weights.cross_swap = 1.0  # ... and the structure of the frame's augmented version
    config.loss.weights.appearance_contrast = 0.1
    config.loss.weights.structure_contrast = 0.1
    config.loss.weights.image = 0.0  # pixels through the frozen generator; at 0 it is not even compiled
    config.loss.appearance_contrast = ConfigDict()
    config.loss.appearance_contrast.temperature = 0.1
    config.loss.appearance_contrast.form = "supcon_out"  # "supcon_in", "nt_xent", "decoupled", "triplet": contrast.py
    config.loss.appearance_contrast.block_size = 0  # frames at a time, when all pairs outgrow the memory; 0: all
    config.loss.structure_contrast = ConfigDict()
    config.loss.structure_contrast.temperature = 0.1
    config.loss.structure_contrast.form = "supcon_out"  # as above; with one positive each, the first three are the same
    config.loss.structure_contrast.block_size = 0  # as above, of frames and augmented frames together
    config.loss.structure_contrast.negatives = "clip"  # frames pushed away: of the same "clip", of the "batch", "both"
    config.loss.structure_contrast.min_gap = 0.3  # nearer frames are no negatives; RMS over directions, in their std

    # AdamW.
    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 1e-3  # the peak, after the warm-up; a cosine leads it to 0
    config.optimizer.warmup_steps = 500
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 1e-4  # of kernels
    config.optimizer.clip_norm = 1.0  # bound on the norm of the gradient
    config.optimizer.ema_decay = 0.999  # of the averaged parameters, which are those that are used

    config.train = ConfigDict()
    config.train.batch_size = 64  # clips a step, over all devices
    config.train.num_steps = 6000
    config.train.log_every = 50  # steps between lines of metrics.jsonl
    config.train.checkpoint_every = 1000
    config.train.keep_checkpoints = 3  # the latest ones

    # How the result is judged.
    config.evaluation = ConfigDict()
    config.evaluation.seed = 1  # of all held-out faces
    config.evaluation.judge = "judge_b"  # reads the factors of results; another than the scorer of directions
    config.evaluation.batch_size = 64  # pictures in memory at a time
    config.evaluation.num_pairs = 1024  # of a source and a driving face, for the transfer exam
    config.evaluation.num_selection_pairs = 256  # other pairs, on which the best layer split is chosen
    config.evaluation.num_readout_faces = 4096  # for the linear readout of factors from latents
    config.evaluation.motion = ConfigDict()  # motion transfer, from clips to faces
    config.evaluation.motion.num_clips = 32
    config.evaluation.motion.num_frames = 32
    config.evaluation.probes = ConfigDict()  # what each code tells about each factor
    config.evaluation.probes.num_faces = 1024  # a quarter of them for testing
    config.evaluation.probes.num_frames = 4  # poses of each face
    config.evaluation.retrieval = ConfigDict()  # nearest neighbours among faces that make one motion
    config.evaluation.retrieval.num_faces = 256
    config.evaluation.retrieval.num_frames = 32
    config.evaluation.pictures = ConfigDict()  # how much the report shows
    config.evaluation.pictures.num_sources = 4  # rows of the transfer grid
    config.evaluation.pictures.num_drivings = 5  # columns of the transfer grid
    config.evaluation.pictures.num_pairs = 6  # rows of the comparison of methods
    config.evaluation.pictures.num_clips = 3  # rows of the motion picture

    if "demo" in switches:
        config.model.width = 256
        config.optimizer.warmup_steps = 100
        config.train.batch_size = 32
        config.train.num_steps = 2000
        config.train.log_every = 20
        config.train.checkpoint_every = 500
        config.evaluation.num_pairs = 256
        config.evaluation.num_selection_pairs = 64
        config.evaluation.num_readout_faces = 2048
        config.evaluation.motion.num_clips = 16
        config.evaluation.motion.num_frames = 16
        config.evaluation.probes.num_faces = 512
        config.evaluation.retrieval.num_faces = 64
        config.evaluation.retrieval.num_frames = 16
    if "plain" in switches:
        config.loss.weights.swap = 0.0
        config.loss.weights.cross_swap = 0.0
    if "no_contrast" in switches or "plain" in switches:
        config.loss.weights.appearance_contrast = 0.0
        config.loss.weights.structure_contrast = 0.0
    return config
