"""python -m disentangle_jax.train: what it says to a wrong call."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from disentangle_jax import train
from stylegan2_flax import command

ROOT = Path(__file__).parents[1]
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
def test_wrong_calls_are_told_what_to_do(arguments, hint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", train)  # whose docstring gives the example
    with pytest.raises(SystemExit) as stop:
        command.run(train.main, train.FLAGS, ["train", *arguments])
    assert str(stop.value).startswith("error: ")
    assert hint in str(stop.value)
    assert not list(tmp_path.iterdir())


def test_a_wrong_call_from_outside_is_told_what_to_do():
    arguments = [CONFIG, "--workdir=x", "--distributed"]
    result = subprocess.run(
        [sys.executable, "-m", "disentangle_jax.train", *arguments],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "detects no cluster" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (ROOT / "x").exists()
