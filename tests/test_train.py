"""python -m disentangle_jax.train: what it says to a wrong call."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
        ([CONFIG, "--workdir=x", "--distributed"], "detects no cluster"),
    ],
)
def test_wrong_calls_are_told_what_to_do(arguments, hint):
    command = [sys.executable, "-m", "disentangle_jax.train", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode != 0
    assert hint in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert not (ROOT / "x").exists()
