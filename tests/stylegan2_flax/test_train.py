"""python -m stylegan2_flax.train: what it says, to right calls and wrong ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = "--config=experiments/configs/gan_folder.py:4"
SMALL = [
    "--config.train.dtype=float32",
    "--config.train.batch_size=8",
    "--config.train.total_kimg=0.008",
    "--config.generator.z_dim=4",
    "--config.generator.w_dim=4",
    "--config.generator.synthesis_kwargs.channel_max=2",
    "--config.discriminator.channel_max=2",
    "--config.loss.path_length.weight=0.0",
    "--config.loss.r1.gamma=0.0",
    "--config.augment.mode=off",
]


def train(*arguments):
    command = [sys.executable, "-m", "stylegan2_flax.train", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([CONFIG], "--workdir=runs/"),
        ([CONFIG, "--workdir=x", "--config.train.total_kimgs=5"], 'Did you mean "total_kimg"'),
    ],
)
def test_wrong_calls_are_told_what_to_do(arguments, hint):
    result = train(*arguments)
    assert result.returncode != 0
    assert hint in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert not (ROOT / "x").exists()


def test_a_folder_is_learnt_from(tmp_path):
    """One step on one image."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9), (200, 100, 0)).save(tmp_path / "images" / "orange.png")
    result = train(CONFIG, f"--workdir={tmp_path}/run", f"--config.data.source={tmp_path}/images", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "Trained 1 steps" in result.stdout
    assert (tmp_path / "run" / "generator.safetensors").is_file()
