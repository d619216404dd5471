"""The launch scripts: what they send is what the trainer takes, and processes of one machine stand in for hosts."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from disentangle_jax import train
from disentangle_jax.disentangler import Disentangler
from stylegan2_flax import command
from stylegan2_flax.run import metrics_log

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "experiments" / "launch"
RECORDER = """#!{python}
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
if sys.argv[1] == "build":
    os.makedirs("dist", exist_ok=True)
"""
SRUN = """#!{python}
import os, subprocess, sys
tasks = int(os.environ["SLURM_NTASKS"])
alone = {{"SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_STEP_NUM_NODES": "1"}}
own = lambda i: {{"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)}}
assert sys.argv[1] == "--cpus-per-task=8"
started = [subprocess.Popen(sys.argv[2:], env=os.environ | alone | own(i)) for i in range(tasks)]
sys.exit(max(process.wait() for process in started))
"""


def stand_in(folder, name, text):
    """A program of this name, first on the path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text.format(python=sys.executable))
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_tpu_gets_the_package_and_the_command_of_the_trainer(tmp_path):
    calls = tmp_path / "calls"
    env = os.environ | {"CALLS": str(calls), "NAME": "faces", "ZONE": "z", "TYPE": "v5litepod-64", "RUNTIME": "r"}
    env |= stand_in(tmp_path / "bin", "gcloud", RECORDER) | stand_in(tmp_path / "bin", "uv", RECORDER)
    script = tmp_path / "a" / "b" / "tpu.sh"  # so that it builds nothing in the project
    script.parent.mkdir(parents=True)
    script.write_text((LAUNCH / "tpu.sh").read_text())
    flags = ["--config=faces64:demo", "--workdir=gs://bucket/a run", "--config.train.batch_size=64"]
    for arguments in (["create"], ["train", *flags], ["stop"], ["delete"]):
        subprocess.run(["bash", str(script), *arguments], env=env, check=True)
    made, built, sent, installed, trained, stopped, deleted = map(json.loads, calls.read_text().splitlines())
    assert made[:5] == ["gcloud", "compute", "tpus", "tpu-vm", "create"]
    assert built == ["uv", "build", "--quiet", "--wheel"]
    assert (sent[4], deleted[4:6]) == ("scp", ["delete", "faces"])
    for call in (installed, trained, stopped):
        assert call[4:7] == ["ssh", "faces", "--worker=all"]
    assert "[tpu,gcs]" in installed[7]
    words = shlex.split(trained[7].removeprefix("--command="))
    assert words[:3] == ["~/venv/bin/python", "-m", "disentangle_jax.train"]
    assert command.parse(train.FLAGS, words[2:]) == words[2:3]
    assert (train.WORKDIR.value, train.CONFIG.value.train.batch_size) == ("gs://bucket/a run", 64)


@pytest.mark.parametrize("script", sorted(path.name for path in LAUNCH.iterdir() if path.suffix != ".md"))
def test_the_scripts_call_the_trainer_by_its_flags(script):
    subprocess.run(["bash", "-n", str(LAUNCH / script)], check=True)
    examples = [line for line in (LAUNCH / script).read_text().splitlines() if line.startswith("#     ")]
    given = [word for line in examples for word in shlex.split(line, comments=False) if word.startswith("--")]
    assert command.parse(train.FLAGS, ["train", *given]) == ["train"]


@pytest.fixture(scope="module")
def tiny(write_tiny_config):
    """The flag of a tiny config."""
    return write_tiny_config({"train.num_steps": 30, "train.checkpoint_every": 5})


def environment(devices=1):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = os.environ["XLA_FLAGS"].replace("count=8", f"count={devices}")
    return os.environ | {"PYTHON": sys.executable, "PORT": str(port), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def launch(number, *flags, devices=1):
    return subprocess.Popen(
        ["bash", str(LAUNCH / "processes.sh"), str(number), *flags],
        env=environment(devices), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def losses(workdir):
    return [line["loss"] for line in metrics_log.read(workdir / "metrics.jsonl")]


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The losses of the run of one process."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(
        [sys.executable, "-m", "disentangle_jax.train", tiny, f"--workdir={workdir}"], env=environment(), check=True
    )
    return losses(workdir)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 4), (4, 2)])
def test_processes_of_which_one_is_killed_go_on_in_another_number(tiny, whole, tmp_path, before, after):
    run = tmp_path / "run"
    script = launch(before, tiny, f"--workdir={run}")
    deadline = time.monotonic() + 500
    while not (run / "checkpoints" / "5").exists():
        assert script.poll() is None, script.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = Path(f"/proc/{script.pid}/task/{script.pid}/children").read_text().split()
    assert len(children) == before
    os.kill(int(children[-1]), signal.SIGKILL)
    error = script.communicate(timeout=300)[1]
    assert script.returncode != 0
    assert "another process of this run has died or cannot be reached" in error
    script = launch(after, tiny, f"--workdir={run}", devices=2)
    assert script.communicate(timeout=500) is not None
    assert script.returncode == 0
    assert losses(run) == pytest.approx(whole, rel=1e-3)
    Disentangler.load(run)


@pytest.mark.slow
def test_the_batch_script_trains_in_the_processes_that_slurm_starts(tiny, whole, tmp_path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    env = environment() | stand_in(tmp_path / "bin", "srun", SRUN) | {"VIRTUAL_ENV": sys.prefix}
    env |= {"SLURM_JOB_ID": str(os.getpid()), "SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "8"}
    env |= {"SLURM_SUBMIT_DIR": str(tmp_path)}
    own = map(str, (ROOT, ROOT / "third_party"))  # an editable installation is not on the path
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [*own, *sys.path]))
    subprocess.run(
        ["bash", str(LAUNCH / "slurm.sbatch"), tiny, f"--workdir={tmp_path / 'run'}"], env=env, check=True, timeout=500
    )
    assert losses(tmp_path / "run") == pytest.approx(whole, rel=1e-3)
