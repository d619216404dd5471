"""Training a judge: it learns, resumes exactly, and leaves a file and a card."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax import faces
from disentangle_jax.configs import judge_faces64
from disentangle_jax.faces import train_judge
from disentangle_jax.faces.judge import Judge, read_factors
from stylegan2_flax import command
from stylegan2_flax.run import loop, metrics_log


@pytest.fixture
def config():
    config = judge_faces64.get_config("b")
    config.model.update(widths=(4, 4, 8, 8), hidden=16)
    config.optimizer.update(warmup_steps=1, learning_rate=1e-2)
    config.train.update(batch_size=16, num_steps=60, log_every=1, checkpoint_every=60)
    config.evaluation.num_faces = 64
    return config


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Pictures of one colour, made in no time."""

    def draw(factors, supersampling=1):
        return jnp.broadcast_to(factors.structure[:, None, None, :3], (len(factors.structure), 64, 64, 3))

    monkeypatch.setattr(train_judge, "render", draw)
    return draw


class StopAfterThree(loop.Interrupt):
    def after(self, step):
        self.name = "SIGINT" if step == 3 else None
        return self.name


def test_it_learns_to_read_and_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    config, tmp_path, monkeypatch, plain
):
    judge = train_judge.run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Interrupt", StopAfterThree)
        with pytest.raises(loop.Stopped, match="after step 3 of 60"):
            train_judge.run(config, tmp_path / "stopped")
    train_judge.run(config, tmp_path / "stopped")
    files = ("judge_b.safetensors", "judge_b.json", "metrics.jsonl")
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    lines = metrics_log.read(tmp_path / "whole" / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 61))
    card = json.loads((tmp_path / "whole" / "judge_b.json").read_text())
    assert card["images"] == 60 * 16
    assert set(card["r_squared_on_64_held_out_renders"]) == set(faces.NAMES)
    assert Judge.load(tmp_path / "whole" / "judge_b.safetensors").widths == (4, 4, 8, 8)

    truth = faces.sample(jax.random.key(7), 64)
    shown, readings = (np.asarray(x.structure[:, :3]) for x in (truth, read_factors(judge, plain(truth))))
    assert np.mean((readings - shown) ** 2) < 0.5 * np.mean(shown**2)  # what the mean gives


def test_images_are_softened_at_most_as_the_config_says(pictures):
    images = pictures(np.random.default_rng(0).uniform(-1, 1, (4, len(faces.NAMES))))
    key, sharp = jax.random.key(1), jnp.asarray(images)
    np.testing.assert_array_equal(train_judge.soften(key, sharp, 0.0, 0.0), images)
    noisy = np.asarray(train_judge.soften(key, sharp, 0.0, 0.06))
    assert np.all(np.std(noisy - images, axis=(1, 2, 3)) <= 0.062)
    assert np.all(np.std(noisy - images, axis=(1, 2, 3)) > 0)
    blurred = np.asarray(train_judge.soften(key, sharp, 1.0, 0.0))
    assert np.all(np.abs(np.diff(blurred, axis=1)).mean((1, 2, 3)) < np.abs(np.diff(images, axis=1)).mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--config.train.num_steps=1", r"optimizer.warmup_steps \(200\) must be below train.num_steps \(1\)"),
        ("--config.name=../judge", "name must be a file name without a folder, got '../judge'"),
        ("--config.model.widths=(8,8,8,8,8)", "model.widths must be four widths"),
    ],
)
def test_an_invalid_config_is_one_line_and_leaves_nothing(setting, message, tmp_path):
    arguments = ["train_judge", "--config=judge_faces64:a", f"--workdir={tmp_path / 'run'}", setting]
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        command.run(train_judge.main, train_judge.FLAGS, arguments)
    assert not (tmp_path / "run").exists()


def test_the_bundled_judges_are_of_the_config(tmp_path):
    for name in ("a", "b"):
        config = judge_faces64.get_config(name)
        judge = Judge.load(config.name)
        assert (judge.widths, judge.hidden) == (config.model.widths, config.model.hidden)
    with pytest.raises(ValueError, match="unknown judge 'c'"):
        judge_faces64.get_config("c")
