"""Train an autoencoder: python -m disentangle_jax.train --config=faces64 --workdir=runs/faces64

Run the same command again to resume. Any field of the config can be set: --config.train.num_steps=1000
With --dry-run it prints what a step needs of the devices' memory, and starts nothing.

On several hosts, run the same command on each, with a workdir on a shared disk or in a bucket. On Cloud TPU, Slurm and
Open MPI the processes find each other; elsewhere add --coordinator=HOST:PORT --num_processes=N --process_id=I, with the
host of process 0, and I from 0.
"""

import shlex

from absl import flags

from disentangle_jax import configs
from disentangle_jax.training import experiment
from disentangle_jax.training.dry_run import dry_run
from stylegan2_flax import command
from stylegan2_flax.files import storage_path
from stylegan2_flax.run import config_flag, processes

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs)
WORKDIR = config_flag.define_workdir(FLAGS)
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "print what a step needs of the devices, and start nothing", flag_values=FLAGS
)
join = processes.define(FLAGS)


def main() -> None:
    workdir = storage_path(WORKDIR.value, "--workdir")
    join()
    if DRY_RUN.value:
        print(dry_run(CONFIG.value, workdir))
        return
    experiment.run(CONFIG.value, workdir)
    print(f"Trained. Next: python -m disentangle_jax.evaluate --workdir={shlex.quote(str(workdir))}")


if __name__ == "__main__":
    command.run(main, FLAGS)
