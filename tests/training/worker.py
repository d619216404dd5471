"""Runs of the small world in processes of their own, which a test may kill: worker.py

Reads a number of steps and a workdir from each line of stdin. A child, forked once everything is imported, trains
there; its process id is printed, and when it is done, what became of it: its exit code, or minus the signal that killed
it.
"""

import os
import sys
from pathlib import Path

from conftest import make_config, make_world, train_world


def train(steps: str, workdir: str) -> None:
    config = make_config()
    config.train.update(num_steps=int(steps), log_every=1, checkpoint_every=2)
    train_world(config, Path(workdir), make_world())


for line in sys.stdin:
    child = os.fork()
    if not child:
        train(*line.strip().split(" ", 1))
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
