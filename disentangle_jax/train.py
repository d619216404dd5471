"""Train an autoencoder: python -m disentangle_jax.train --config=experiments/configs/faces64.py --workdir=runs/faces64

Run the same command again to resume. Any field of the config can be set: --config.train.num_steps=1000

On several hosts the same command runs on each, with a workdir on a disk that all of them see. Cloud TPU, Slurm and Open
MPI tell each process which it is; elsewhere add --coordinator=HOST:PORT --num_processes=N --process_id=I, HOST being
that of process 0 and I counting from 0.

What was compiled once need not be compiled again: set JAX_COMPILATION_CACHE_DIR to a folder of yours.
"""

from absl import app, flags
from ml_collections import config_flags

from disentangle_jax import command, processes
from disentangle_jax.training import experiment

CONFIG = config_flags.DEFINE_config_file("config", help_string="the experiment: FILE.py or FILE.py:SWITCHES")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run: made if it is new, resumed if it is not")


def main() -> None:
    if CONFIG.value is None:
        raise app.UsageError("which experiment? Say --config=experiments/configs/faces64.py (:demo for a short run)")
    if WORKDIR.value is None:
        raise app.UsageError("where to? Say --workdir=runs/NAME")
    processes.join()
    experiment.run(CONFIG.value, WORKDIR.value)
    print(f"Trained. Next: python -m disentangle_jax.evaluate --workdir={WORKDIR.value}")


if __name__ == "__main__":
    command.run(main)
