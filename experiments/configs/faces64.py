"""Appearance and structure of parametric faces at 64 px, from the bundled generator.

    python -m disentangle_jax.train --config=experiments/configs/faces64.py --workdir=runs/faces64
    python -m disentangle_jax.evaluate --workdir=runs/faces64

    hardware   any: two CPU cores, a GPU, a TPU host; the batch is sharded over what there is (hosts: see ffhq256.py)
    minutes    not measured yet; about 12 on two cores, from the rate of steps
    expect     not measured yet; no less than the demo's

Switches, after a colon and separated by commas (`faces64.py:demo,no_contrast`):
    demo         a short run for two CPU cores: 2 minutes, structure R^2 0.85, appearance R^2 0.85 (256 pairs, one seed)
    pure         an appearance code without structure: every layer of a clip is moved to the pose, along directions that
                 are the same in all layers; the variance of appearance within clips is punished; structure is narrow.
                 Beside the demo (demo,pure against demo; one seed, by truth, 2,048 pairs and 512 faces in 4 poses): of
                 faces of W a ridge probe finds 0.00 of structure in the appearance code (0.81) and 0.01 of appearance
                 in the structure code (0.29), a small network nothing in either (0.61, nothing); transfer is the same,
                 0.91 / 0.95, as is that along the directions. The price: on mixed faces of W+, whose layers disagree
                 on the pose, the structure code reads 0.08 of structure (0.72)
    abstract     the baseline with what the paper's abstract tells of its objective and nothing else: reconstruction and
                 both contrasts, no swaps. Weights, temperatures and all else are this config's, not the paper's
    no_contrast  the baseline without both contrastive losses
    plain        the baseline that only rebuilds its input: no contrast, no swaps
"""

from ml_collections import ConfigDict

SWITCHES = ("demo", "pure", "abstract", "no_contrast", "plain")


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
    config.directions.source = "scorer"  # "scorer", "sefa", "pca", "stylespace", "random", or a file of directions
    config.directions.scorer = "judge_a"  # the judge that scores samples; another one, judge_b, scores results
    config.directions.method = "conditional"  # of "scorer"; or normals of hyperplanes, by "linear" or "logistic" fits
    config.directions.orthogonalise = False  # "linear" and "logistic": project normals off those of all other scores
    config.directions.tail = 0.2  # "logistic" tells this share of the samples from as many at the other end; 0.5: all
    config.directions.num_samples = 8192  # faces to score, and to calibrate all directions to
    config.directions.pca_samples = 65536  # latents whose principal axes "pca" takes; any number, a batch at a time
    config.directions.style_mixing = 0.9  # share of the faces mixed from two, to tell the layers apart; 0: all alike
    config.directions.ridge = 1e-2  # penalty of the regression of scores on latents, relative to the latents' variance
    config.directions.layers = (0, 6)  # first and last layer of all but "scorer", which finds them by itself
    config.directions.channels = ()  # of "stylespace", such as "b8.conv0:12"; none: those that move their layer most
    config.directions.num = 7  # directions to find or keep; unranked, a scorer gives one for each structure factor
    config.directions.rank = "none"  # keep the purest candidates, as the "scorer" or the "pictures" alone tell
    config.directions.candidates = 40  # directions to rank; a scorer and a file give what they have
    config.directions.rank_faces = 32  # faces that are moved along each candidate
    config.directions.least_change = (
        0.1  # what counts as none, in population standard deviations, so that idle is not pure
    )

    # Synthetic clips: latents moved along the directions.
    config.clips = ConfigDict()
    config.clips.length = 16  # frames of a trajectory
    config.clips.num_frames = 4  # of them, drawn at random, make a clip
    # One kind a direction, drawn at random: "sinusoid", "random_walk", "ornstein_uhlenbeck", "spline", "pulses", "iid".
    config.clips.trajectories = ("sinusoid", "random_walk")
    config.clips.tau = 8.0  # their time scale, in frames
    config.clips.amplitude = 1.0  # of the motion, in standard deviations of the population's own structure
    config.clips.bound = 4.5  # frames further from the mean face than this, in standard deviations, are drawn back
    config.clips.coordinates = "absolute"  # motion replaces a face's own pose; "offset": it adds to it, which leaks
    config.clips.layers = "together"  # along one vector of W+; "each": every layer to the pose, so none keeps its own
    config.clips.truncation_psi = 1.0  # spread of the faces; below 1 they come closer to the mean face
    config.clips.style_mixing = 0.9  # share of faces mixed from two, so that no layer can stand for another
    config.clips.change_face = 0.5  # augmentation: share of frames put on another face altogether, in the same motion
    config.clips.mix_layers = 1.0  # augmentation: share of the others whose fine layers come from another face
    config.clips.mix_from = 5  # the first of the fine layers, and the first cut between the two faces
    config.clips.noise = 0.0  # augmentation: of the fine layers, in standard deviations of the latents
    config.clips.appearance = 0.0  # augmentation: moves along directions of appearance, in their standard deviations
    config.clips.appearance_from = "scorer"  # those directions: of what directions.scorer reads, or a file of them
    config.clips.classes = ()  # of a conditional generator: the classes that faces are drawn from; (): all of them
    config.clips.stats_samples = 8192  # faces whose latents tell the mean and spread that latents are brought to

    # Clips purified by what a scorer reads in their pictures: far purer, and far slower to make. On a CPU let data.tile
    # be all clips that a device makes: convolutions within a loop are slow there.
    config.purify = ConfigDict()
    config.purify.scorer = "judge_a"  # never the judge of results
    config.purify.steps = 0  # of correction, each a picture of every frame; 4 are good, 0 leaves clips as they are
    config.purify.damping = 0.2  # of the steps, which are shorter the larger it is
    config.purify.num_faces = 256  # whose readings tell how far each factor spreads

    # Where the clips of each step come from.
    config.data = ConfigDict()
    config.data.source = "generated"  # made as they are needed; "stored": read from what make_clips or others wrote
    config.data.tile = 8  # clips that a device makes at a time; their bits follow from it, not from the devices
    config.data.directory = ""  # of stored clips: the --out of make_clips
    config.data.dataset = "synthetic_clips"  # of stored clips: its name in TFDS
    config.data.split = "train"  # of stored clips; TFDS's slices are understood, such as "train[:1000]"
    config.data.threads = 2  # that read stored clips
    config.data.prefetch = 4  # batches of stored clips that are read ahead
    config.data.clips_per_shard = 1024  # that make_clips writes into a file; a killed run loses one file at most

    # The autoencoder.
    config.model = ConfigDict()
    config.model.appearance_dim = 256  # wide enough for two faces mixed
    config.model.structure_dim = 32  # narrow: what does not fit cannot leak in
    config.model.embed_dim = 32  # of each latent layer, before the layers meet
    config.model.width = 512  # of the trunks
    config.model.num_blocks = 3  # residual blocks in the encoder, and in the decoder
    config.model.dtype = "float32"  # in which the trunks take their products; "bfloat16": all else stays float32
    config.model.learn_temperature = False  # train the temperatures of the contrasts too, from those below on

    # The objective: weights of its parts, and what shapes the contrasts.
    config.loss = ConfigDict()
    config.loss.weights = ConfigDict()
    config.loss.weights.reconstruction = 1.0  # both codes of a frame give it back
    config.loss.weights.swap = 1.0  # ... with the appearance of another frame of the clip
    config.loss.weights.cross_swap = 1.0  # ... and the structure of the frame's augmented version
    config.loss.weights.appearance_contrast = 0.1
    config.loss.weights.structure_contrast = 0.1
    config.loss.weights.appearance_ratio = 0.0  # of appearance's variance within clips to that over the batch
    config.loss.weights.image = 0.0  # pixels through the frozen generator; at 0 it is not even compiled
    config.loss.least_temperature = 0.01  # of learnt temperatures, see model.learn_temperature
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
    config.train.accumulate = 1  # parts of a batch, one after the other; a contrast sees those of its own part alone
    config.train.tensorboard = False  # write for TensorBoard too (extra `tensorboard`)
    config.train.profile_steps = (0, 0)  # first and last step to trace into the workdir's profile/; (0, 0): none

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
    config.evaluation.motion.factor_amplitude = 0.8  # of the motion of each structure factor, which lies in [-1, 1]
    config.evaluation.motion.direction_amplitude = 1.7  # where no truth is known: along directions, in their std
    config.evaluation.probes = ConfigDict()  # what each code tells about each factor
    config.evaluation.probes.num_faces = 1024
    config.evaluation.probes.num_frames = 4  # poses of each face
    config.evaluation.probes.test_share = 0.25  # of the faces, for testing
    config.evaluation.probes.folds = 4  # of the cross-validation that chooses the penalty of ridge regression
    config.evaluation.probes.hidden = 64  # units of the network that looks for what is not linear
    config.evaluation.probes.max_epochs = 150  # of its training
    config.evaluation.probes.patience = 10  # epochs without a better score on held-out faces before it stops
    config.evaluation.probes.components = 20  # of a face's latent, which stand for appearance where no truth is known
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
    if "pure" in switches:
        config.directions.style_mixing = 0.0
        config.clips.layers = "each"
        config.model.structure_dim = 8
        config.loss.weights.appearance_ratio = 100.0
    if "abstract" in switches or "plain" in switches:
        config.loss.weights.swap = 0.0
        config.loss.weights.cross_swap = 0.0
    if "no_contrast" in switches or "plain" in switches:
        config.loss.weights.appearance_contrast = 0.0
        config.loss.weights.structure_contrast = 0.0
        config.loss.weights.appearance_ratio = 0.0
    return config
