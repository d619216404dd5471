"""What a run survives: kills at any moment, damaged checkpoints, full disks."""

import gc
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from disentangle_jax.training.step import Advance
from stylegan2_flax.run import checkpoints, config_record, metrics_log
from stylegan2_flax.run.checkpoints import Checkpoints

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture(scope="module")
def worker():
    """A process that trains in children of its own: give it steps and a workdir, and it gives the child's id."""
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", "count=1"),
    }
    command = [sys.executable, str(WORKER)]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        yield process
        process.stdin.close()


def start(worker, steps, workdir):
    worker.stdin.write(f"{steps} {workdir}\n")
    worker.stdin.flush()
    return int(worker.stdout.readline())


def outcome(worker):
    return int(worker.stdout.readline())


def kill(child, workdir, steps, moment):
    """Kill a run so many steps after its checkpoint, and then after a moment; None waits until it writes the next."""
    path, folder = workdir / "metrics.jsonl", workdir / "checkpoints"
    start = max((int(child.name) for child in folder.glob("*") if child.name.isdigit()), default=0)
    before = path.stat().st_ino if path.exists() else 0
    wait_until(lambda: path.exists() and path.stat().st_ino != before)  # it is rewound to the checkpoint
    wait_until(lambda: metrics_log.read(path) and metrics_log.read(path)[-1]["step"] >= start + steps)
    if moment is None:
        wait_until(lambda: any("tmp" in name for name in os.listdir(folder)))
    else:
        time.sleep(moment)
    os.kill(child, signal.SIGKILL)


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


@pytest.mark.parametrize(
    ("kills", "steps", "least_in_a_save"), [(2, 10, 0), pytest.param(10, 32, 3, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_a_run_ends_as_if_it_never_was(
    worker, ten_steps, assert_same, tmp_path, kills, steps, least_in_a_save
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start(worker, steps, whole)
    assert outcome(worker) == 0
    dice, in_a_save = random.Random(0), 0
    for number in range(kills):
        kill(start(worker, steps, killed), killed, dice.randint(1, 3), None if number % 2 else dice.uniform(0, 0.1))
        assert outcome(worker) == -signal.SIGKILL
        in_a_save += any("tmp" in name for name in os.listdir(killed / "checkpoints"))
    assert in_a_save >= least_in_a_save
    start(worker, steps, killed)
    assert outcome(worker) == 0
    assert (killed / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    target = jax.tree.map(here, ten_steps[1]._asdict())
    assert_same(*(checkpoints.load(workdir / "checkpoints", target) for workdir in (killed, whole)))


def here(x):
    """An array's shape and dtype, on one device."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))


@pytest.mark.parametrize("damage", ["cut short", "deleted", "flipped", "without metadata"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(ten_steps, assert_same, tmp_path, capsys, damage):
    whole, state = ten_steps
    shutil.copytree(whole, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    spoil(folder / "10", damage)
    target = jax.tree.map(here, state)
    averaged = checkpoints.load(folder, {"ema_params": target.ema_params})
    assert f"warning: checkpoint {folder / '10'} is damaged (" in capsys.readouterr().err
    with Checkpoints(folder, keep=2) as run_checkpoints:
        restored = run_checkpoints.restore(target)
        assert restored is not None
        assert "that of step 5 is used" in capsys.readouterr().err
        assert int(restored.step) == run_checkpoints.latest_step == 5
    assert_same(averaged["ema_params"], restored.ema_params)
    assert [path.name for path in (tmp_path / "run" / "damaged").iterdir()] == ["10"]
    spoil(folder / "5", damage)
    with pytest.raises(ValueError, match=r"no checkpoint can be read:\n .*5: .*\nDelete their folder to start over"):
        checkpoints.load(folder, {"ema_params": target.ema_params})
    gc.collect()


def spoil(path, damage):
    """Damage a checkpoint where its parameters lie."""
    if damage == "without metadata":
        (path / "ema_params" / "_METADATA").unlink()
        return
    for data in (path / "ema_params").glob("**/d/*"):
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        if damage == "cut short":
            os.truncate(data, len(content) // 2)
        elif damage == "deleted":
            data.unlink()
        else:
            data.write_bytes(content)


@pytest.fixture
def fill_disk(monkeypatch, capsys):
    """Fills the disk before a step and clears it before another: whatever is written fails, but for a few bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def arrange(folder, full_at, whole, free_at):
        run = Advance.__call__

        def run_between(advance, state, step):
            if step == full_at:
                wait_until((folder / str(whole)).exists)
                resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
            elif step == free_at:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            return run(advance, state, step)

        monkeypatch.setattr(Advance, "__call__", run_between)

    yield arrange
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_training_goes_on_while_the_disk_is_full(
    config, world, train, assert_same, ten_steps, tmp_path, fill_disk, capsys
):
    """From step 4 to step 8: a checkpoint and two lines cannot be written."""
    whole, state = ten_steps
    config.train.checkpoint_every = 3
    fill_disk(tmp_path / "checkpoints", full_at=4, whole=3, free_at=8)
    assert_same(train(config, tmp_path, world), state)
    error = capsys.readouterr().err
    assert "a checkpoint could not be written" in error
    assert f"the newest in {tmp_path / 'checkpoints'} is of step 3" in error
    assert "2 lines could not be written" in error
    assert (tmp_path / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert {"10", "3", "9"} <= {path.name for path in (tmp_path / "checkpoints").iterdir()}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_is_full_at_the_end_is_an_error(config, world, train, tmp_path, fill_disk):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    fill_disk(tmp_path / "checkpoints", full_at=10, whole=5, free_at=None)
    with pytest.raises(OSError, match=r"step 10 is made, but not saved: the newest .* of step 5\. Make room"):
        train(config, tmp_path, world)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # pytest writes what it captured into files


def test_too_small_a_disk_is_refused_at_the_start(config, world, train, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**4))
    with pytest.raises(OSError, match=r"has 0 MB left, and 4 more checkpoints of .* are to come: make room"):
        train(config, tmp_path, world)


def test_a_workdir_that_cannot_be_written_is_named(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory: nothing can be written into .*file/run"):
        config_record.record_config(config, tmp_path / "file" / "run", ())
