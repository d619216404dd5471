"""Runs whose workdir lies in a bucket, that of an emulator of Google Cloud Storage, which the real libraries ask."""

import json
import os
import time

import jax
import pytest

from disentangle_jax.training.step import Advance
from stylegan2_flax import files
from stylegan2_flax.run import bucket_lock, checkpoints, config_record, metrics_log
from stylegan2_flax.run.lock import locked


@pytest.fixture
def folder(bucket, request):
    """A folder of its own for each test."""
    return bucket / request.node.name


def write_half(path):
    with files.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_files_are_written_whole_and_copied_where_a_disk_is_needed(folder):
    path = folder / "new" / "a.txt"
    files.write_text(path, "Bińkowski")
    assert path.read_text() == "Bińkowski"
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "Bińkowski"
    with files.local_copy(path) as copy:
        assert (copy.name, copy.read_text()) == ("a.txt", "Bińkowski")
    with files.local_folder(folder / "many") as local:
        (local / "in").mkdir()
        (local / "in" / "b.txt").write_text("b")
    assert (folder / "many" / "in" / "b.txt").read_text() == "b"
    files.remove_tree(folder / "many")
    assert not (folder / "many" / "in" / "b.txt").exists()
    assert str(files.storage_path(str(folder), "--workdir")) == str(folder)
    with pytest.raises(ValueError, match="is a URL, but must be a path on a local disk"):
        files.local_path(str(folder), "--out")
    with pytest.raises(OSError, match=r"gs://no-such-bucket/a cannot be written"):
        files.write_text("gs://no-such-bucket/a", "")


def test_lines_are_appended_by_writing_the_file_anew(folder):
    path = folder / "metrics.jsonl"
    log = metrics_log.Log(path, -1)
    for step in (1, 2, 3):
        log.append(step, {"loss": 1 / step})
    assert not path.exists()
    log.flush()
    assert [line["step"] for line in metrics_log.read(path)] == [1, 2, 3]
    log = metrics_log.Log(path, 2)
    log.append(3, {"loss": 0.5})
    log.flush()
    assert path.read_text() == '{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 0.5}\n{"step": 3, "loss": 0.5}\n'


def test_a_workdir_has_one_owner_until_it_is_dead(folder, monkeypatch):
    with locked(folder):
        assert json.loads((folder / ".lock").read_text())["pid"] == os.getpid()
        with pytest.raises(BlockingIOError, match=rf"process {os.getpid()} on .* is at work in {folder} since"):
            locked(folder).__enter__()
    assert not (folder / ".lock").exists()
    owner = {"host": "elsewhere", "pid": 7, "since": "then", "token": "x", "alive_ms": 1000 * (time.time() - 60)}
    (folder / ".lock").write_text(json.dumps(owner))
    with pytest.raises(
        BlockingIOError, match=r"process 7 on elsewhere .* a sign of life 6. s ago.* try again in [56]. s"
    ):
        locked(folder).__enter__()
    (folder / ".lock").write_text(json.dumps({**owner, "alive_ms": 1000 * (time.time() - bucket_lock.STALE - 1)}))
    monkeypatch.setattr(bucket_lock, "_SETTLE", 0.0)
    monkeypatch.setattr(bucket_lock, "HEARTBEAT", 0.05)
    with locked(folder):
        before = json.loads((folder / ".lock").read_text())
        read, failures = bucket_lock._read, iter([RuntimeError("503"), RuntimeError("503")])

        def flaky(path):
            for error in failures:
                raise error
            return read(path)

        monkeypatch.setattr(bucket_lock, "_read", flaky)  # a request that fails ends no signs of life
        time.sleep(0.5)
        assert next(failures, None) is None
        now = json.loads((folder / ".lock").read_text())
        assert (now["token"], now["pid"]) == (before["token"], os.getpid())
        assert now["alive_ms"] > before["alive_ms"]
    assert not (folder / ".lock").exists()


@pytest.mark.slow
def test_a_run_that_broke_ends_as_on_a_disk(config, world, train, ten_steps, assert_same, folder, monkeypatch, capsys):
    config_record.record_config(config, folder, ())
    assert config_record.read_config(folder).to_json() == config.to_json()
    advance = Advance.__call__

    def broken(self, state, step):
        if step == 8:
            raise RuntimeError("the cable was pulled")
        return advance(self, state, step)

    monkeypatch.setattr(Advance, "__call__", broken)
    with pytest.raises(RuntimeError, match="cable"):
        train(config, folder, world)
    monkeypatch.undo()
    assert "an error ends the run after step 7, which is saved" in capsys.readouterr().err
    assert_same(train(config, folder, world), ten_steps[1])
    assert (folder / "metrics.jsonl").read_text() == (ten_steps[0] / "metrics.jsonl").read_text()
    target = {"ema_params": jax.tree.map(here, ten_steps[1].ema_params)}
    assert_same(checkpoints.load(folder / "checkpoints", target)["ema_params"], ten_steps[1].ema_params)


def here(x):
    """An array's shape and dtype, on one device."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))
