"""A judge of parametric faces: a small CNN that reads their factors.

    python -m disentangle_jax.faces.train_judge --config=judge_faces64:a --workdir=runs/judge_a
    python -m disentangle_jax.faces.train_judge --config=judge_faces64:b --workdir=runs/judge_b

    hardware   two CPU cores
    minutes    23 for `a`, 44 for `b`
    expect     R^2 of at least 0.95 for every factor, on 4,096 held-out renders (the cards in disentangle_jax/assets)

Run the same command again to resume. The two have different seeds and widths, so that `a`, which finds directions, is
not the network that evaluates results, `b`.
"""

from ml_collections import ConfigDict

WIDTHS = {"a": (32, 64, 96, 128), "b": (24, 48, 112, 160)}


def get_config(arg: str = "a") -> ConfigDict:
    """The config of judge `a` or `b`."""
    if arg not in WIDTHS:
        raise ValueError(f"unknown judge {arg!r}: this config knows {', '.join(WIDTHS)}")
    config = ConfigDict()
    config.name = f"judge_{arg}"  # of the files written: NAME.safetensors and its card NAME.json
    config.seed = list(WIDTHS).index(arg) + 1  # of weights and faces

    config.model = ConfigDict()
    config.model.widths = WIDTHS[arg]  # channels of the four convolutions
    config.model.hidden = 160  # units of the hidden layer

    config.images = ConfigDict()
    config.images.blur = 1.0  # largest weight of a 3 x 3 binomial blur
    config.images.noise = 0.06  # largest standard deviation of Gaussian noise

    # AdamW.
    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 1.5e-3  # after the warm-up; then cosine decay to 0
    config.optimizer.warmup_steps = 200
    config.optimizer.weight_decay = 1e-3
    config.optimizer.clip_norm = 1.0  # largest norm of the gradient

    config.train = ConfigDict()
    config.train.batch_size = 64  # fresh faces a step, over all devices
    config.train.num_steps = 3500
    config.train.log_every = 100  # steps between lines of metrics.jsonl
    config.train.checkpoint_every = 250
    config.train.keep_checkpoints = 2  # number of latest checkpoints
    config.train.tensorboard = False  # write for TensorBoard too (extra `tensorboard`)
    config.train.profile_steps = (0, 0)  # first and last step to trace into the workdir's profile/; (0, 0): none

    # The R^2 on the card.
    config.evaluation = ConfigDict()
    config.evaluation.seed = 10_000 + config.seed  # of the held-out faces
    config.evaluation.num_faces = 4096
    return config
