"""Train a StyleGAN2: python -m stylegan2_flax.train --config=experiments/configs/gan_faces64.py --workdir=runs/gan

Run the same command again to resume. Any field of the config can be set: --config.train.total_kimg=100
"""

from absl import app, flags
from ml_collections import config_flags

from stylegan2_flax import command
from stylegan2_flax.gan import experiment, loop

CONFIG = config_flags.DEFINE_config_file("config", help_string="the experiment: FILE.py or FILE.py:ARGUMENT")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run: made if it is new, resumed if it is not")


def main() -> None:
    if CONFIG.value is None:
        raise app.UsageError("which experiment? Say --config=experiments/configs/gan_faces64.py")
    if WORKDIR.value is None:
        raise app.UsageError("where to? Say --workdir=runs/NAME")
    config, workdir = CONFIG.value, WORKDIR.value
    step, last = int(experiment.run(config, workdir).step), loop.steps_of(config, config.train.total_kimg)
    if step < last:
        print(
            f"Stopped after {config.train.max_minutes:g} minutes, at step {step} of {last}: the same command goes on."
        )
    else:
        print(f"Trained {step} steps. The generator: {workdir}/generator.safetensors; samples: {workdir}/snapshots")


if __name__ == "__main__":
    command.run(main)
