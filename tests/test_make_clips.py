"""python -m disentangle_jax.make_clips: what it says to a wrong call, and training on what it writes."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from disentangle_jax import make_clips as script
from disentangle_jax.configs import faces64
from disentangle_jax.training import experiment
from stylegan2_flax import command

ROOT = Path(__file__).parents[1]
CONFIG = "experiments/configs/faces64.py"
SETTINGS = {"directions.source": "random", "directions.num_samples": 64, "data.tile": 2, "data.clips_per_shard": 48}


def make_clips(*arguments):
    call = [sys.executable, "-m", "disentangle_jax.make_clips", *map(str, arguments)]
    return subprocess.run(call, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([f"--config={ROOT / CONFIG}"], "--out=data --num_clips=100000"),
        ([f"--config={ROOT / CONFIG}", "--out=x", "--num_clips=8", "--dtype=int8"], "float16|float32"),
    ],
)
def test_wrong_calls_are_told_what_to_do(tmp_path, monkeypatch, arguments, hint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", script)  # as which it is started
    with pytest.raises(SystemExit) as stop:
        command.run(script.main, script.FLAGS, ["make_clips", *arguments])
    assert hint in str(stop.value.code)
    assert list(tmp_path.iterdir()) == []


def test_directions_of_a_start_that_failed_are_not_taken_for_those_of_another_config(tmp_path, monkeypatch):
    config = faces64.get_config("demo,linear")
    config.update_from_flattened_dict(SETTINGS)

    def killed(config, generator, folder):
        (folder / "directions.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "build_clip_source", killed)
    with pytest.raises(KeyboardInterrupt):
        script.make_clips(config, tmp_path, 80, "float32", False)
    config.directions.num_samples = 128
    with pytest.raises(ValueError, match=r"directions.num_samples: 64 there, 128 now\nGive another --out"):
        script.make_clips(config, tmp_path, 80, "float32", False)


@pytest.mark.slow
def test_ten_steps_on_written_clips_equal_ten_on_generated_ones(tmp_path):
    data = tmp_path / "data"
    changes = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
    made = make_clips(f"--config={CONFIG}:demo,linear", *changes, f"--out={data}", "--num_clips=80")
    assert made.returncode == 0, made.stderr
    assert f"--config.data.source=stored --config.data.directory={data}" in made.stdout
    assert "80/80" in made.stderr

    config = faces64.get_config("demo,linear")
    config.update_from_flattened_dict(SETTINGS)
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=1)
    config.optimizer.update(name="adamw", warmup_steps=3)
    config.train.update(batch_size=8, num_steps=10, log_every=1)
    generated = experiment.run(config, tmp_path / "generated")
    config.data.update(source="stored", directory=str(data))
    stored = experiment.run(config, tmp_path / "stored")
    for one, other in zip(jax.tree.leaves(generated), jax.tree.leaves(stored), strict=True):
        np.testing.assert_array_equal(one, other)
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("generated", "stored")]
    assert lines[0] == lines[1]
