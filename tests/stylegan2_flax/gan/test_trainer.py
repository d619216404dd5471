"""A whole run: exact resume, what it writes, how it stops. The slow tests repeat what `run/test_loop.py` shows."""

import json
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

import stylegan2_flax as sg2
from stylegan2_flax.gan import experiment
from stylegan2_flax.gan.data import RenderedImages, open_images
from stylegan2_flax.gan.networks import make_discriminator, make_generator
from stylegan2_flax.gan.score import open_features
from stylegan2_flax.gan.snapshots import Snapshots
from stylegan2_flax.gan.state import split_graphdefs
from stylegan2_flax.run import config_record, metrics_log
from stylegan2_flax.run.checkpoints import Checkpoints
from stylegan2_flax.run.lock import locked


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def read(workdir):
    return (workdir / "metrics.jsonl").read_text()


@pytest.fixture(scope="module")
def ten_steps(module_config, tmp_path_factory):
    """A run of ten steps that was never stopped: its workdir and its last state."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, experiment.run(module_config, workdir)


def test_what_a_run_writes(module_config, ten_steps):
    workdir, state = ten_steps
    assert int(state.step) == 10
    lines = metrics_log.read(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 2, 4, 5, 6, 8, 10]
    assert [line["step"] for line in lines if "score" in line] == [0, 5, 10]
    assert {"Loss/G/loss", "Loss/D/loss", "Loss/scores/real", "Progress/augment"} <= lines[1].keys()
    assert ["Loss/D/reg" in line for line in lines] == [False, True, False, True, False, False, True]
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["10", "5"]
    names = ["0000000.png", "0000005.png", "0000010.png", "reals.png"]
    assert sorted(path.name for path in (workdir / "snapshots").iterdir()) == names
    with Image.open(workdir / "snapshots" / "reals.png") as picture:
        assert picture.size == (3 * 4 + 2 * 2, 2 * 4 + 2)
    assert json.loads((workdir / "config.json").read_text())["train"]["batch_size"] == 8


def test_networks_are_those_of_the_state(ten_steps):
    workdir, state = ten_steps
    generator, discriminator = (sg2.load(workdir / f"{name}.safetensors") for name in ("generator", "discriminator"))
    arrays = sg2.to_state_dict(generator)
    np.testing.assert_array_equal(arrays["synthesis.b4.const"], state.ema["synthesis"]["b4"]["const"])
    np.testing.assert_array_equal(arrays["mapping.w_avg"], state.buffers["generator"]["mapping"]["w_avg"])
    fc = sg2.to_state_dict(discriminator)["b4.fc.weight"]
    np.testing.assert_array_equal(fc, state.params["discriminator"]["b4"]["fc"]["weight"])


def test_the_best_generator_is_kept(ten_steps):
    workdir, _ = ten_steps
    scores = {line["step"]: line["score"] for line in metrics_log.read(workdir / "metrics.jsonl") if "score" in line}
    with safe_open(workdir / "best.safetensors", framework="numpy") as file:
        about = file.metadata()
    best = int(about["step"])
    assert float(about["score"]) == scores[best] == min(scores.values())
    assert about["features"] == "tiny_features"


def test_a_worse_score_replaces_nothing(module_config, ten_steps, mesh_of, tmp_path):
    """The first score of a run has none to be worse than."""
    networks = make_generator(module_config), make_discriminator(module_config)
    images, features = open_images(module_config.data, 4, 3), open_features(module_config.score.features)
    snapshots = Snapshots(module_config, tmp_path, split_graphdefs(*networks), mesh_of(8), images, features)
    metrics_log.append(tmp_path / "metrics.jsonl", 0, {"score": 0.0})
    score = snapshots.score(10, ten_steps[1])
    assert score["score"] == metrics_log.read(ten_steps[0] / "metrics.jsonl")[-1]["score"]
    assert not (tmp_path / "best.safetensors").exists()
    (tmp_path / "metrics.jsonl").unlink()
    assert snapshots.score(10, ten_steps[1]) == score
    assert (tmp_path / "best.safetensors").exists()


def test_a_killed_run_resumes_exactly(config, ten_steps, tmp_path):
    """What a kill after step 5 leaves: its checkpoint, lines from beyond it, a line cut short."""
    whole, state = ten_steps
    shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "10")
    (tmp_path / "run" / "metrics.jsonl").write_text(read(whole)[:-30])
    (tmp_path / "run" / "best.safetensors").unlink()
    assert_same(experiment.run(config, tmp_path / "run"), state)
    assert read(tmp_path / "run") == read(whole)


@pytest.mark.slow
def test_a_signal_saves_and_says_how_to_go_on(config, ten_steps, tmp_path, monkeypatch):
    """Between two lines of the log, whose means then span both runs."""
    (whole, state), append = ten_steps, metrics_log.append

    def append_and_interrupt(path, step, values):
        append(path, step, values)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(metrics_log, "append", append_and_interrupt)
    with pytest.raises(SystemExit, match=r"SIGTERM after step 3 of 10.*same"):
        experiment.run(config, tmp_path)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["3"]
    assert signal.getsignal(signal.SIGTERM) is handler
    assert_same(experiment.run(config, tmp_path), state)
    assert read(tmp_path) == read(whole)


@pytest.mark.slow
def test_the_clock_stops_a_run(config, tmp_path):
    config.train.max_minutes = 1e-6
    assert [int(experiment.run(config, tmp_path).step) for _ in range(2)] == [1, 2]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


def test_a_finished_run_has_nothing_to_do(config, ten_steps):
    workdir, state = ten_steps
    before = read(workdir)
    assert_same(experiment.run(config, workdir), state)
    assert read(workdir) == before


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(config, tmp_path, monkeypatch):
    """NaN in the images of the eighth step."""
    whole = RenderedImages.batches

    def broken(self, *arguments):
        batches = whole(self, *arguments)
        return lambda index: batches(index) * (jnp.nan if index == 7 else 1.0)

    monkeypatch.setattr(RenderedImages, "batches", broken)
    with pytest.raises(FloatingPointError, match=r"step 8: Loss/D/loss, .*Loss/scores/real.* not finite"):
        experiment.run(config, tmp_path)
    assert metrics_log.read(tmp_path / "metrics.jsonl")[-1]["step"] == 6
    for folder, step in ((tmp_path, 5), (tmp_path / "nan", 7)):
        with Checkpoints(folder / "checkpoints", keep=2) as checkpoints:
            assert checkpoints.latest_step == step
    with pytest.raises(FloatingPointError, match="step 8: "):
        experiment.run(config, tmp_path / "nan")


def test_another_config_is_refused(config, ten_steps):
    config.loss.r1.gamma = 7.0
    with pytest.raises(ValueError, match=r"another config:\n  loss.r1.gamma: 0.05 there, 7.0 now"):
        experiment.run(config, ten_steps[0])


@pytest.mark.slow
def test_an_error_of_the_data_saves_first(config, ten_steps, tmp_path, monkeypatch):
    """An image that cannot be read, in the fourth step."""
    whole = RenderedImages.batches

    def broken(self, *arguments):
        batches = whole(self, *arguments)

        def batch(index):
            if index == 3:
                raise ValueError("cat.png is damaged")
            return batches(index)

        return batch

    with monkeypatch.context() as patch:
        patch.setattr(RenderedImages, "batches", broken)
        with pytest.raises(ValueError, match=r"cat\.png is damaged"):
            experiment.run(config, tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["3"]
    assert_same(experiment.run(config, tmp_path), ten_steps[1])


@pytest.mark.slow
def test_a_trace_of_the_steps_that_are_asked_for(config, tmp_path):
    config.train.update(total_kimg=3 * 8 / 1000, profile_steps=(2, 3))
    config.score.features = ""
    experiment.run(config, tmp_path)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


@pytest.mark.slow
def test_a_run_goes_on_from_anywhere_and_without_the_file_it_started_from(config, tmp_path, monkeypatch):
    """Its config holds absolute paths, and its own networks have the form of those that it started from."""
    config.init = "tiny_generator"
    sg2.save(make_generator(config), tmp_path / "start.safetensors")
    monkeypatch.chdir(tmp_path)
    config.init = "start.safetensors"
    config.train.total_kimg = 2 * 8 / 1000
    experiment.run(config, "run")
    recorded = config_record.read_config(tmp_path / "run")
    assert recorded.init == str(tmp_path / "start.safetensors")
    (tmp_path / "start.safetensors").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recorded.train.total_kimg = 3 * 8 / 1000
    assert int(experiment.run(recorded, tmp_path / "run").step) == 3


def test_weights_and_data_that_lie_in_the_working_directory_are_found_from_others(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pth").write_bytes(b"")
    (tmp_path / "sets").mkdir()
    config.score.features, config.data.directory = "inception:weights.pth", "sets"
    recorded = experiment._with_absolute_paths(config)
    assert recorded.score.features == f"inception:{tmp_path / 'weights.pth'}"
    assert recorded.data.directory == str(tmp_path / "sets")


def test_two_runs_in_one_workdir_are_refused(config, tmp_path):
    with locked(tmp_path), pytest.raises(OSError, match="is at work in"):
        experiment.run(config, tmp_path)
