"""The bundled encoder: pictures of parametric faces to latents of the bundled generator.

    python -m disentangle_jax.train_encoder --config=encoder_faces64 --workdir=runs/encoder

    hardware   two CPU cores
    minutes    54, on cores that were busy with other work
    expect     21.9 dB on 512 rendered faces, 24.6 dB on samples of the generator; judge_b reads structure in what it
               makes of the rendered ones with a mean R^2 of 0.65

Run the same command again to resume. For a generator without a domain, such as one of your own:

    python -m disentangle_jax.train_encoder --config=encoder_faces64:no_domain --workdir=runs/encoder \
        --config.generator=my.safetensors --config.model.size=128
"""

from ml_collections import ConfigDict

from disentangle_jax.configs import parse_switches

SWITCHES = ("no_domain",)


def get_config(arg: str = "") -> ConfigDict:
    """The config of the bundled encoder; with `no_domain`, without exact pictures, distance and judge."""
    switches = parse_switches(arg, SWITCHES)
    config = ConfigDict()
    config.name = "faces64_encoder"  # of the files written: NAME.safetensors and its card NAME.json
    config.seed = 0  # of weights, samples and degradations
    config.generator = "faces64"  # a registered generator, or the path or URL of a StyleGAN2 file

    config.model = ConfigDict()
    config.model.size = 64  # pixels of the side of the pictures it reads; others are averaged over areas
    config.model.widths = (32, 64, 96, 128)  # channels after each strided convolution
    config.model.num_units = (0, 0, 1, 1)  # residual units after each
    config.model.hidden = 256  # units of the hidden layer

    # The samples of the generator.
    config.samples = ConfigDict()
    config.samples.style_mixing = 0.5  # fraction of latents mixed from two, from a random layer on
    config.samples.psi = (0.7, 1.0)  # truncation, drawn for each sample
    config.samples.exact = 0.75  # fraction whose picture is the domain's exact one, instead of the generator's

    # What happens to pictures before the encoder sees them. Strengths are drawn for each picture, up to these.
    config.degrade = ConfigDict()
    config.degrade.share = 0.3  # fraction of pictures that each change is made to
    config.degrade.shift = 0.02  # along each axis, as a share of the side
    config.degrade.zoom = 0.03  # change of scale
    config.degrade.blur = 1.0  # standard deviation in pixels
    config.degrade.colour = 0.05  # contrast; gain and brightness of each channel
    config.degrade.compression = 0.01  # rounding step of the mean of a block
    config.degrade.noise = 0.06  # standard deviation

    config.loss = ConfigDict()
    config.loss.weights = ConfigDict()
    config.loss.weights.latents = 0.1  # squared difference of whitened latents, which keeps them near those of W
    config.loss.weights.styles = 1.0  # of the styles that they give, relative to the variance
    config.loss.weights.pixels = 10.0  # of pictures, through the generator; 0: not compiled
    config.loss.weights.distance = 1.0  # of a perceptual distance between them; 0: not compiled
    config.loss.draw_every = 8  # one of so many samples is drawn again by the generator, which costs the most
    config.loss.scales = 3  # sizes at which pixels are compared: the encoder's, its half, its quarter
    config.loss.distance = "judge_a"  # "none", a scorer, whose features are compared, or "lpips:PATH"

    # AdamW.
    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 2e-3  # after the warm-up; then cosine decay to 0
    config.optimizer.warmup_steps = 200
    config.optimizer.weight_decay = 1e-3
    config.optimizer.clip_norm = 1.0  # largest norm of the gradient
    config.optimizer.ema_decay = 0.998  # of the averaged parameters, which are what is saved

    config.train = ConfigDict()
    config.train.batch_size = 32  # fresh samples a step, over all devices
    config.train.num_steps = 4000
    config.train.log_every = 50  # steps between lines of metrics.jsonl
    config.train.checkpoint_every = 200
    config.train.keep_checkpoints = 2  # number of latest checkpoints
    config.train.tensorboard = False  # write for TensorBoard too (extra `tensorboard`)
    config.train.profile_steps = (0, 0)  # first and last step to trace into the workdir's profile/; (0, 0): none

    # The numbers on the card.
    config.evaluation = ConfigDict()
    config.evaluation.every = 500  # steps between the lines that have the PSNR
    config.evaluation.seed = 1  # of the held-out pictures
    config.evaluation.num_images = 512  # samples of the generator, and as many exact pictures
    config.evaluation.judge = "judge_b"  # scorer of the results, another one than of the loss; empty: none

    if "no_domain" in switches:
        config.samples.exact = 0.0
        config.loss.distance = "none"
        config.evaluation.judge = ""
    return config
