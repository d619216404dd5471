"""One of two processes: processes_worker.py ID PORT FOLDER

Writes the gradient of the small world to FOLDER/gradient.npz, then trains in FOLDER/run and waits before step 8.
"""

import sys
import time
from pathlib import Path

import jax
import numpy as np
from conftest import gradient_of_world, make_config, make_world, train_world

from disentangle_jax.training.step import Advance
from stylegan2_flax.run import parallel

process, port, folder = sys.argv[1:]
parallel.join(None, f"127.0.0.1:{port}", 2, int(process))
config, world = make_config(), make_world()

value, grads = gradient_of_world(parallel.make_mesh(config.train.batch_size), config, world)
if jax.process_index() == 0:
    np.savez(Path(folder) / "gradient.npz", value, *jax.tree.leaves(grads))

advance = Advance.__call__


def wait_at_eight(self, state, step):
    if step == 8:
        time.sleep(600)
    return advance(self, state, step)


Advance.__call__ = wait_at_eight
train_world(config, Path(folder) / "run", world)
