"""python -m disentangle_jax.train: what it says to a wrong call."""

import subprocess
import sys

import jax
import pytest

from disentangle_jax import train
from stylegan2_flax import command

CONFIG = "--config=faces64:demo"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "--config=faces64"),
        ([CONFIG], "--workdir=runs/"),
        ([CONFIG, "--workdir=x", "--config.train.num_step=5"], 'Did you mean "num_steps"'),
        ([CONFIG, "--workdir=x", "--config.generator=faces65"], "one that an installed package registers (faces64)"),
        ([CONFIG, "--workdir=x", "--coordinator=host:1"], "need all three"),
    ],
)
def test_wrong_calls_are_told_what_to_do(tmp_path, monkeypatch, arguments, hint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", train)  # as which it is started
    monkeypatch.setattr(jax.distributed, "initialize", no_cluster)
    with pytest.raises(SystemExit) as stop:
        command.run(train.main, train.FLAGS, ["train", *arguments])
    assert hint in str(stop.value.code)
    assert list(tmp_path.iterdir()) == []


def no_cluster(*_, **__):
    """Stands for what JAX says of a process that is alone, which it asks new processes alone."""
    raise ValueError


def test_a_process_of_no_cluster_is_told_so_and_ends_in_one_line(tmp_path):
    command = [sys.executable, "-m", "disentangle_jax.train", CONFIG, "--workdir=x", "--distributed"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode != 0
    assert "detects no cluster" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
