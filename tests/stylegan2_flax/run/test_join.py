"""Processes that wait for others say so, and do not wait forever."""

import os
import socket
import subprocess
import sys
import time

import pytest

PROGRAM = """
from stylegan2_flax.run import parallel
parallel.PATIENCE, parallel._SOON = 6, 1.0
parallel.join()
"""

TALK = """
import os, signal, sys
import numpy as np
from absl import flags
from jax.experimental import multihost_utils
from stylegan2_flax import command
from stylegan2_flax.run import parallel

def main(port, number, victim):
    parallel.join(None, f"127.0.0.1:{port}", 2, int(number))
    for step in range(1000):
        multihost_utils.process_allgather(np.ones(3))
        if step == 3 and number == victim:
            os.kill(os.getpid(), signal.SIGKILL)

command.run(main, flags.FlagValues(), positional=("PORT", "NUMBER", "VICTIM"))
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def survivor_of(victim):
    """What the process says that goes on after the victim's death, its exit code, and after how many seconds."""
    arguments, env = ["-c", TALK, str(free_port())], os.environ | {"JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen([sys.executable, *arguments, str(n), str(victim)], env=env, stderr=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    processes[victim].communicate(timeout=300)
    died = time.monotonic()
    said = processes[1 - victim].communicate(timeout=300)[1]
    return said, processes[1 - victim].returncode, time.monotonic() - died


def test_when_a_process_dies_the_first_says_so_in_one_line_and_stops():
    said, code, seconds = survivor_of(1)
    lines = [line for line in said.splitlines() if not line.startswith("[Gloo] Rank")]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: another process of this run has died or cannot be reached (")
    assert code == 1
    assert seconds < 60


@pytest.mark.slow
def test_when_the_first_process_dies_the_others_stop():
    said, code, seconds = survivor_of(0)
    assert "another task died" in said or "another process of this run has died" in said  # JAX itself may be the faster
    assert code != 0
    assert seconds < 60


def test_one_process_of_two_says_what_it_waits_for_and_gives_up_in_one_line():
    slurm = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    port = free_port()
    env = os.environ | slurm | {"JAX_PLATFORMS": "cpu", "JAX_COORDINATOR_ADDRESS": f"localhost:{port}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    waits = [line for line in done.stderr.splitlines() if "waits for the others to join" in line]
    assert waits == [
        f"{beginning}process 0 of 2 (so say Slurm) waits for the others to join at localhost:{port}: start them, "
        "or run alone with --nodistributed"
        for beginning in ("", "error: after 6 s ")
    ]
    assert "Check failure" not in done.stderr
