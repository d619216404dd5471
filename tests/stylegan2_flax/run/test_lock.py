"""One owner of a workdir at a time."""

import json
import os
import platform
import subprocess
import sys
import time

import pytest

from stylegan2_flax.run.lock import NAME, locked

PROGRAM = """
import sys, time
from pathlib import Path
from stylegan2_flax.run.lock import locked
with locked(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which owns tmp_path/run."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run")]
    with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_is_there_until_that_one_is_dead(other, tmp_path):
    owner = rf"process {other.pid} on {platform.node()} is at work in .*run since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\."
    with pytest.raises(OSError, match=owner), locked(tmp_path / "run"):
        pass
    other.kill()
    other.wait()
    assert (tmp_path / "run" / NAME).exists()
    with locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / NAME).read_text())["pid"] == os.getpid()
    assert not (tmp_path / "run").exists() or list((tmp_path / "run").iterdir()) == []


def test_the_same_process_does_not_own_a_folder_twice(tmp_path):
    with locked(tmp_path / "run"):
        with pytest.raises(OSError, match=f"process {os.getpid()} "), locked(tmp_path / "run"):
            pass
        (tmp_path / "run" / "file").touch()
    with locked(tmp_path / "run"):
        pass
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]


def test_an_owner_on_another_host_counts_while_it_gives_signs_of_life(tmp_path):
    path = tmp_path / NAME
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": "2026-01-01 00:00:00"}))
    message = r"process 7 on elsewhere is at work in .* since 2026-01-01 .* if it is dead, try again in 1\d\d s"
    with pytest.raises(OSError, match=message), locked(tmp_path):
        pass
    os.utime(path, (time.time() - 300, time.time() - 300))
    with locked(tmp_path):
        assert json.loads(path.read_text())["host"] == platform.node()


@pytest.mark.parametrize("content", ["", '{"host": ', "[1]"])
def test_a_torn_lock_is_taken_over(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_in_vain_is_removed(tmp_path):
    with pytest.raises(ValueError, match="refused"), locked(tmp_path / "run"):
        raise ValueError("refused")
    assert not (tmp_path / "run").exists()


def test_where_nothing_can_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"Not a directory: nothing can be written into .*file/run"),
        locked(tmp_path / "file" / "run"),
    ):
        pass
