"""Images into latents: what `invert` does if nothing else is said.

python -m disentangle_jax.invert --model=runs/mine --input=photo.png --out=latents.safetensors
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The settings of `disentangle_jax.inversion.invert`."""
    config = ConfigDict()
    config.space = "w+"  # w+: every layer has a latent of its own; w: all layers have one
    config.images_per_piece = 64  # of a video or a folder, in memory at a time; the next of a video go on from them
    config.batch_size = 0  # images that are optimised at once; 0: as many as make 2^18 pixels
    config.max_deviation = 3.0  # no layer's latent is further from the mean, in standard deviations
    config.noise = True  # whether noise maps are found too, where the generator has any
    config.warn_below_psnr = 20.0  # dB

    # Where the search starts without an encoder: at the samples whose pictures are nearest, of which the one is kept
    # that a few steps bring nearest.
    config.candidates = 255  # samples beside the mean latent
    config.starts = 4  # of them that are tried
    config.scout = ConfigDict()
    config.scout.steps = 60
    config.scout.learning_rate = 0.1  # of Adam, in standard deviations
    config.scout.exploration = 0.0  # noise on the latent at first, in standard deviations

    # From there on.
    config.optimise = ConfigDict()
    config.optimise.steps = 1000
    config.optimise.learning_rate = 0.05
    config.optimise.exploration = 0.0

    # From an encoder's latents on.
    config.refine = ConfigDict()
    config.refine.steps = 100
    config.refine.learning_rate = 0.05
    config.refine.exploration = 0.0

    config.schedule = ConfigDict()
    config.schedule.warmup = 0.05  # share of the steps until the learning rate is reached
    config.schedule.cooldown = 0.25  # share of the steps in which it falls to 0, along a cosine
    config.schedule.explore_until = 0.75  # share of the steps with exploration

    # Weights of the loss; that of the squared error of pixels in [-1, 1] is 1.
    config.weights = ConfigDict()
    config.weights.distance = 0.1  # of the perceptual distance, if there is one
    config.weights.latent = 1e-4  # of the squared distance to the mean, in standard deviations
    config.weights.spread = 1.0  # of the squared distance of a latent's layers to their mean
    config.weights.offset = 1e-4  # of the squared distance of a clip's frames to their base
    config.weights.neighbour = 1e-3  # of the squared distance of a frame to the one before
    config.weights.noise = 1e5  # of the noise maps' self-similarity

    # Pivotal tuning: the generator's weights move until the images are exact.
    config.tune = ConfigDict()
    config.tune.steps = 0  # 0: none; 300 are many
    config.tune.learning_rate = 1e-3  # of Adam, falling to 0 along a cosine
    config.tune.locality = 1.0  # weight of the squared change of pictures of samples
    return config
