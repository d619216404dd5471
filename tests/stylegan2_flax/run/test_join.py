"""Processes that wait for others say so, and do not wait forever."""

import os
import socket
import subprocess
import sys

PROGRAM = """
from stylegan2_flax.run import devices
devices.PATIENCE, devices._SOON = 6, 1.0
devices.join()
"""


def test_one_process_of_two_says_what_it_waits_for_and_gives_up_in_one_line():
    slurm = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
