"""Appearance and structure of parametric faces at 64 px, from the bundled generator.

    python -m disentangle_jax.train --config=experiments/configs/faces64.py --workdir=runs/faces64
    python -m disentangle_jax.evaluate --model=runs/faces64

    hardware   any: two CPU cores, a GPU, a TPU host; the batch is sharded over what there is (hosts: see ffhq256.py)
    minutes    15 on one core of two, the other one busy: 5 until the readout is learnt, then 7 steps a second
    expect     structure R^2 0.881 +- 0.001, appearance R^2 0.901 +- 0.001 by judge_b, 24.3 dB, on 1,024 pairs (seeds 0
               to 2, of which 0 is the bundled model); along the directions 0.69 / 0.82, 19.4 dB. By the truth of output
               latents 0.898 / 0.932; along the directions 0.71 / 0.86, by a search on the readout itself 0.93 / 0.93

Switches, after a colon and separated by commas (`faces64.py:demo,no_contrast`):
    demo         a smaller model and a short run, a minute on two CPU cores: structure R^2 0.86, appearance R^2 0.90
                 (256 pairs, three seeds)
    linear       clips along straight lines, all layers moved together. It needs no readout, and has no loss of factors,
                 so any directions will do
    abstract     the baseline with what the paper's abstract tells of its objective: reconstruction and both contrasts,
                 no swaps and no factors; and both ratios of variances. Weights, temperatures and all else are this
                 config's, not the paper's
    no_contrast  the baseline without both contrastive losses and both ratios of variances
    plain        the baseline that only rebuilds its input: no contrast, no swaps, no factors
"""

from ml_collections import ConfigDict

from disentangle_jax.configs import parse_switches

SWITCHES = ("demo", "linear", "abstract", "no_contrast", "plain")


def get_config(arg: str = "") -> ConfigDict:
    """The full run, or what the switches in `arg` make of it."""
    switches = parse_switches(arg, SWITCHES)
    config = ConfigDict()
    config.seed = 0  # of all randomness: initial weights and clips
    config.generator = "faces64"  # a registered generator, or the path or URL of a StyleGAN2 file

    # Directions of the latent space that move structure.
    config.directions = ConfigDict()
    # "scorer", "videos", "sefa", "pca", "stylespace", "random", or a file of directions.
    config.directions.source = "scorer"
    config.directions.scorer = "judge_a"  # scorer that finds directions; another one, judge_b, evaluates results
    config.directions.method = "conditional"  # of "scorer"; or normals of hyperplanes, by "linear" or "logistic" fits
    config.directions.orthogonalise = False  # "linear" and "logistic": project normals off those of all other scores
    config.directions.tail = 0.2  # of "logistic": fraction of the samples at either end to separate; 0.5: all
    config.directions.num_samples = 8192  # faces to read factors of, and to calibrate directions with
    config.directions.pca_samples = 65536  # of "pca": latents whose principal components are the directions
    config.directions.style_mixing = 0.0  # fraction of faces mixed from two, which separates the layers; 0: none
    config.directions.ridge = 1e-2  # ridge penalty of the regression on latents, relative to their variance
    config.directions.layers = (0, 6)  # first and last layer; "scorer" finds them itself, "videos" moves all
    config.directions.videos = ""  # of "videos": a folder of latents of videos, each written by invert --space=w
    config.directions.channels = ()  # of "stylespace", such as "b8.conv0:12"; (): the channels with the largest effect
    config.directions.num = 7  # number of directions; without a ranking, a scorer gives one for each structure factor
    config.directions.rank = "none"  # keep the purest candidates, ranked by "scorer" or by "pictures", without labels
    config.directions.candidates = 40  # directions to rank; a scorer and a file have a fixed number
    config.directions.rank_faces = 32  # faces that are moved along each candidate
    config.directions.least_change = 0.1  # in population standard deviations: below it, none counts as pure

    # Synthetic clips: latents that move along the directions.
    config.clips = ConfigDict()
    config.clips.length = 16  # frames of a trajectory
    config.clips.num_frames = 4  # frames of a clip, drawn at random from these
    # Drawn for each direction at random: "sinusoid", "random_walk", "ornstein_uhlenbeck", "spline", "pulses", "iid".
    config.clips.trajectories = ("sinusoid", "random_walk")
    config.clips.tau = 8.0  # time scale of trajectories, in frames
    config.clips.amplitude = 1.0  # of the motion, in standard deviations of the population
    config.clips.bound = 4.5  # largest distance of a frame from the mean face, in standard deviations
    # The motion replaces the pose of the face; "offset": it is added to it, which then counts as appearance.
    config.clips.coordinates = "absolute"
    config.clips.motion = "readout"  # where the readout finds the pose; "linear": along the directions
    config.clips.jitter = 0.3  # of "readout": how far each layer strays from it by itself, in standard deviations
    config.clips.layers = "each"  # every layer is moved to the pose by itself; "together": one direction in W+
    config.clips.truncation_psi = 1.0  # truncation of the faces; 1: none, 0: the mean face
    config.clips.style_mixing = 0.1  # fraction of faces mixed from two, so that layers vary independently
    config.clips.num_identities = 0  # faces that all clips show, the same in every run; 0: another one in each clip
    config.clips.change_face = 1.0  # augmentation: fraction of frames shown by another face in the same pose
    config.clips.mix_layers = 0.0  # augmentation: fraction of the others with fine layers of another face
    config.clips.mix_from = 5  # the first of the fine layers, and the first cut between the two faces
    config.clips.noise = 0.0  # augmentation: noise on the fine layers, in standard deviations of the latents
    config.clips.appearance = 0.0  # augmentation: motion along appearance directions, in standard deviations
    config.clips.appearance_from = "scorer"  # the appearance directions: those of directions.scorer, or a file
    config.clips.classes = ()  # of a conditional generator: classes to sample from; (): all
    config.clips.stats_samples = 8192  # faces for the mean and standard deviation of the latents

    # The latent readout: the factors that directions.scorer reads, learnt from its readings of many faces.
    config.readout = ConfigDict()
    config.readout.source = "scorer"  # fitted to what it reads; or the readout.safetensors of another run
    config.readout.num_samples = 32768  # faces to read factors of
    # Fraction of these that a first readout, fitted to the rest, poses at random; 0: no first one.
    config.readout.posed = 0.5
    config.readout.style_mixing = 0.5  # fraction of these that are mixed from two, which tells it the layers apart
    config.readout.num_moved = 16384  # latents of W, not drawn, from which it learns how to move a factor
    config.readout.hidden = 256  # units of its network
    config.readout.num_steps = 3000  # of either fit
    config.readout.batch_size = 1024
    config.readout.learning_rate = 5e-3  # at first; cosine decay to 0
    config.readout.weight_decay = 0.1
    config.readout.test_share = 0.125  # of the faces, to measure its R^2 with
    config.readout.restraint = 0.3  # weight of the length of a move: the larger, the less exactly it meets its goal

    # Purification: clips are corrected until a scorer reads the wanted factors. They become much purer, and much slower
    # to make. On a CPU set data.tile to the number of clips of a device, since convolutions are slow within a loop.
    config.purify = ConfigDict()
    config.purify.scorer = "judge_a"  # another one than the judge of the evaluation, which it would flatter
    config.purify.steps = 0  # correction steps, each renders every frame; 4 suffice, 0: no purification
    config.purify.damping = 0.2  # damping of the steps; larger values shorten them
    config.purify.num_faces = 256  # faces for the standard deviation of the readings

    # The source of the clips.
    config.data = ConfigDict()
    config.data.source = "generated"  # sampled in each step; "stored": read from a dataset that make_clips wrote
    config.data.tile = 8  # clips that a device samples at a time; their bits depend on it, not on the devices
    config.data.directory = ""  # of stored clips: the --out of make_clips
    config.data.dataset = "synthetic_clips"  # of stored clips: name of the TFDS dataset
    config.data.split = "train"  # of stored clips: a TFDS split, such as "train[:1000]"
    config.data.threads = 2  # threads that read stored clips
    config.data.prefetch = 4  # batches of stored clips to read ahead
    config.data.clips_per_shard = 1024  # clips in a file of make_clips; a killed run loses at most one file

    # The autoencoder.
    config.model = ConfigDict()
    config.model.appearance_dim = 96  # little more than a face needs (64), so that its pose has no room there
    config.model.structure_dim = 16  # more than the factors need; the structure ratio keeps appearance out
    config.model.embed_dim = 32  # embedding of each latent layer
    config.model.width = 256  # width of the trunks
    config.model.num_blocks = 3  # residual blocks in the encoder, and in the decoder
    config.model.dtype = "float32"  # dtype of the trunks; everything else is float32
    config.model.input_space = "w+"  # what the encoder reads: every layer of a latent; "w": their mean
    config.model.learn_temperature = False  # train the temperatures of the contrasts, starting from those below

    # The objective: weights of the losses, and options of the contrasts.
    config.loss = ConfigDict()
    config.loss.weights = ConfigDict()
    config.loss.weights.reconstruction = 1.0  # each frame from its own codes
    config.loss.weights.swap = 1.0  # ... with the appearance of another frame of the clip
    config.loss.weights.cross_swap = 1.0  # ... and the structure of the frame's augmented version
    config.loss.weights.appearance_contrast = 0.1
    config.loss.weights.structure_contrast = 0.1
    config.loss.weights.appearance_ratio = 10.0  # variance of appearance within clips, relative to the total
    config.loss.weights.structure_ratio = 10.0  # variance of structure between the views of a frame, likewise
    config.loss.weights.factors = 1.0  # of the factors that the readout finds in the cross swap; 0: not compiled
    config.loss.weights.image = 0.0  # of images of the frozen generator; 0: not compiled
    config.loss.least_temperature = 0.01  # lower bound of learned temperatures
    config.loss.appearance_contrast = ConfigDict()
    config.loss.appearance_contrast.temperature = 0.1
    config.loss.appearance_contrast.form = "supcon_out"  # or another of model/contrast_forms.py
    config.loss.appearance_contrast.block_size = 0  # anchors at a time, to save memory; 0: all
    config.loss.structure_contrast = ConfigDict()
    config.loss.structure_contrast.temperature = 0.1
    config.loss.structure_contrast.form = "supcon_out"  # as above; with one positive, the first three are equal
    config.loss.structure_contrast.block_size = 0  # as above
    # Negatives are frames of other clips, which needs change_face=1; of the same "clip"; or of "both".
    config.loss.structure_contrast.negatives = "batch"
    config.loss.structure_contrast.min_gap = 0.3  # least RMS distance of negatives, in standard deviations

    config.optimizer = ConfigDict()
    config.optimizer.name = "muon"  # of kernels, with Adam of everything else; or "adamw", best at half of this rate
    config.optimizer.learning_rate = 4e-3  # after the warm-up; then cosine decay to 0
    config.optimizer.warmup_steps = 500
    config.optimizer.b1 = 0.9  # of the momentum
    config.optimizer.b2 = 0.99  # of Adam's second moment
    config.optimizer.weight_decay = 1e-4  # of kernels
    config.optimizer.clip_norm = 1.0  # largest norm of the gradient
    config.optimizer.ema_decay = 0.999  # of the averaged parameters, which inference uses

    config.train = ConfigDict()
    config.train.batch_size = 64  # clips a step, over all devices
    config.train.num_steps = 4000
    config.train.log_every = 50  # steps between lines of metrics.jsonl
    config.train.checkpoint_every = 1000
    config.train.keep_checkpoints = 3  # number of latest checkpoints
    config.train.accumulate = 1  # parts of a batch, one after the other; contrasts and ratios are within a part
    config.train.tensorboard = False  # write for TensorBoard too (extra `tensorboard`)
    config.train.profile_steps = (0, 0)  # first and last step to trace into the workdir's profile/; (0, 0): none

    # Evaluation.
    config.evaluation = ConfigDict()
    config.evaluation.seed = 1  # of the held-out faces
    config.evaluation.judge = "judge_b"  # scorer of the results; another one than directions.scorer
    config.evaluation.batch_size = 64  # images rendered at a time
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
        config.directions.num_samples = 2048
        config.readout.num_samples = 6144
        config.readout.hidden = 128
        config.readout.batch_size = 512
        config.model.width = 128
        config.model.num_blocks = 2
        config.loss.weights.factors = 0.3  # of a coarser readout: more lets structure into the appearance code
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
    if "linear" in switches:
        config.clips.motion = "linear"
        config.clips.jitter = 0.0
        config.clips.layers = "together"
        config.loss.weights.factors = 0.0
    if "abstract" in switches or "plain" in switches:
        config.loss.weights.swap = 0.0
        config.loss.weights.cross_swap = 0.0
        config.loss.weights.factors = 0.0
    if "no_contrast" in switches or "plain" in switches:
        config.loss.weights.appearance_contrast = 0.0
        config.loss.weights.structure_contrast = 0.0
        config.loss.weights.appearance_ratio = config.loss.weights.structure_ratio = 0.0
    return config
