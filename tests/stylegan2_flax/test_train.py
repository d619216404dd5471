"""python -m stylegan2_flax.train: what it says, to right calls and wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from stylegan2_flax import command, train

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


@pytest.fixture
def run(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(sys.modules, "__main__", train)  # whose docstring has the example that is shown
    return lambda *arguments: command.run(train.main, train.FLAGS, ["train", "--nodistributed", *arguments])


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([CONFIG], "--workdir=runs/"),
        ([CONFIG, "--workdir=x", "--config.train.total_kimgs=5"], 'Did you mean "total_kimg"'),
    ],
)
def test_wrong_calls_are_told_what_to_do(run, arguments, hint):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert str(stop.value).startswith("error: ")
    assert hint in str(stop.value)
    assert not (ROOT / "x").exists()


@pytest.mark.slow
def test_a_folder_is_learnt_from(tmp_path):
    """One step on one image. In every run `gan/test_experiment.py` has the command learn from a folder."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9), (200, 100, 0)).save(tmp_path / "images" / "orange.png")
    places = [f"--workdir={tmp_path}/run", f"--config.data.source={tmp_path}/images"]
    program = [sys.executable, "-m", "stylegan2_flax.train", CONFIG, *places, *SMALL]
    result = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    assert "Trained 1 steps" in result.stdout
    assert (tmp_path / "run" / "generator.safetensors").is_file()
