"""Train a StyleGAN2: python -m stylegan2_flax.train --config=experiments/configs/gan_faces64.py --workdir=runs/gan

Run the same command again to resume. Any field of the config can be set: --config.train.total_kimg=100
With --dry-run it prints what a step needs of the devices' memory, and starts nothing.
"""

from absl import flags

from stylegan2_flax import command
from stylegan2_flax.files import storage_path
from stylegan2_flax.gan import experiment
from stylegan2_flax.gan.trainer import make_schedule
from stylegan2_flax.run import config_flag, processes

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS)
WORKDIR = config_flag.define_workdir(FLAGS)
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "print what a step needs of the devices, and start nothing", flag_values=FLAGS
)
join = processes.define(FLAGS)


def main() -> None:
    config, workdir = CONFIG.value, storage_path(WORKDIR.value, "--workdir")
    join()
    if DRY_RUN.value:
        print(experiment.dry_run(config, workdir))
        return
    step, last = int(experiment.run(config, workdir).step), make_schedule(config).num_steps
    if step < last:
        print(
            f"Stopped after {config.train.max_minutes:g} minutes, at step {step} of {last}: the same command goes on."
        )
    else:
        print(f"Trained {step} steps. The generator: {workdir}/generator.safetensors; samples: {workdir}/snapshots")


if __name__ == "__main__":
    command.run(main, FLAGS)
