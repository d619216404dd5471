"""Runs of the small world in processes of their own, which a test may kill: worker.py [OVERRIDES as JSON]

Reads workdirs from stdin, one a line. Each is trained in by a child, forked once everything is imported; its process id
is printed, and when it is done, what became of it: its exit code, or minus the signal that killed it.
"""

import json
import os
import sys
from pathlib import Path

from conftest import make_config, make_world, train_world


def train(workdir: str) -> None:
    config = make_config()
    config.train.update(json.loads(sys.argv[1]))
    train_world(config, Path(workdir), make_world())


for line in sys.stdin:
    child = os.fork()
    if not child:
        train(line.strip())
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
