"""Train an autoencoder: python -m disentangle_jax.train --config=experiments/configs/faces64.py --workdir=runs/faces64

Run the same command again to resume. Any field of the config can be set: --config.train.num_steps=1000
"""

import sys

from absl import app, flags, logging
from ml_collections import config_flags

from disentangle_jax.training import experiment

CONFIG = config_flags.DEFINE_config_file("config", help_string="the experiment: FILE.py or FILE.py:SWITCHES")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run: made if it is new, resumed if it is not")


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}: options are written --name=value")
    if CONFIG.value is None:
        raise app.UsageError("which experiment? Say --config=experiments/configs/faces64.py (:demo for a short run)")
    if WORKDIR.value is None:
        raise app.UsageError("where to? Say --workdir=runs/NAME")
    try:
        experiment.run(CONFIG.value, WORKDIR.value)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    print(f"Trained. Next: python -m disentangle_jax.evaluate --workdir={WORKDIR.value}")


def parse_flags(argv: list[str]) -> list[str]:
    """Parse the command line; ml_collections raises on an unknown field of the config, with a hint deep inside."""
    try:
        return app.parse_flags_with_usage(argv)
    except AttributeError as error:
        reason = error
        while isinstance(reason, BaseException):
            reason = reason.args[0]
        sys.exit(f"error: the config has no field {reason}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
