"""Two processes on this machine: the gradient of one, and a run that is killed and goes on in one."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from stylegan2_flax.run import metrics_log, parallel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder in which two processes of four devices each have left a gradient and a run, killed after step 7."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = os.environ["XLA_FLAGS"].replace("count=8", "count=4")
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, str(Path(__file__).with_name("processes_worker.py"))]
    log = (folder / "log").open("w")
    started = [
        subprocess.Popen([*command, str(number), str(port), str(folder)], env=env, stderr=log) for number in range(2)
    ]
    lines, whole = folder / "run" / "metrics.jsonl", folder / "run" / "checkpoints" / "5"
    try:
        while not (whole.exists() and metrics_log.read(lines)[-1]["step"] == 6):
            time.sleep(0.05)
            if any(process.poll() is not None for process in started):
                pytest.fail((folder / "log").read_text())
    finally:
        for process in started:
            process.kill()
    outcomes = [process.wait() for process in started]
    log.close()
    assert outcomes == [-signal.SIGKILL] * 2
    return folder


def test_two_processes_have_the_gradient_of_one_device(two_processes, config, world, gradient_on):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
    with np.load(two_processes / "gradient.npz") as file:
        both = [file[name] for name in file.files]
    one = jax.tree.leaves(gradient_on(mesh, config, world))
    for array, other in zip(one, both, strict=True):
        np.testing.assert_allclose(other, array, atol=1e-6 * max(1.0, float(abs(array).max())))


def test_a_run_of_two_processes_goes_on_in_one(two_processes, config, world, train, ten_steps):
    lines = two_processes / "run" / "metrics.jsonl"
    assert [line["step"] for line in metrics_log.read(lines)] == [2, 4, 6]
    train(config, two_processes / "run", world)
    resumed, whole = (metrics_log.read(path) for path in (lines, ten_steps[0] / "metrics.jsonl"))
    assert [line["step"] for line in resumed] == [2, 4, 6, 8, 10]
    for one, other in zip(resumed, whole, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


def test_processes_need_all_three_or_a_cluster(monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=r"need all three: .*'host:1', None, None"):
        parallel.join(coordinator="host:1")
    with pytest.raises(ValueError, match="are not wanted"):
        parallel.join(distributed=False, coordinator="host:1", num_processes=1, process_id=0)
