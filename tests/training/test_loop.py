"""The loop: exact resume, what it writes, how it stops."""

import os
import shutil
import signal

import jax
import jax.numpy as jnp
import pytest

from disentangle_jax.training.random_streams import random_streams
from stylegan2_flax.run import checkpoints, metrics_log
from stylegan2_flax.run.checkpoints import Checkpoints


def test_killed_run_resumes_exactly(config, world, train, assert_same, ten_steps, tmp_path):
    """What a kill after step 5 leaves: its checkpoint, lines from beyond it, a line cut short."""
    whole, state = ten_steps
    resumed = tmp_path / "resumed"
    shutil.copytree(whole, resumed)
    shutil.rmtree(resumed / "checkpoints" / "10")
    text = (whole / "metrics.jsonl").read_text()
    (resumed / "metrics.jsonl").write_text(text[: len(text) - 30])
    assert_same(train(config, resumed, world), state)
    assert (resumed / "metrics.jsonl").read_text() == text


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_signal_saves_and_says_how_to_go_on(
    config, world, train, assert_same, ten_steps, tmp_path, monkeypatch, number
):
    whole, state = ten_steps
    workdir, append = tmp_path / "stopped", metrics_log.append

    def append_and_interrupt(path, step, values):
        append(path, step, values)
        if step == 2:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    monkeypatch.setattr(metrics_log, "append", append_and_interrupt)
    with pytest.raises(SystemExit, match=rf"{number.name} after step 3 of 10.*same"):
        train(config, workdir, world)
    monkeypatch.undo()
    assert [path.name for path in (workdir / "checkpoints").iterdir()] == ["3"]
    assert signal.getsignal(number) is handler
    assert_same(train(config, workdir, world), state)
    assert (workdir / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_metrics_and_checkpoints_on_disk(config, assert_same, ten_steps):
    workdir, state = ten_steps
    lines = metrics_log.read(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10]
    assert {"loss", "swap", "structure_contrast", "gradient_norm", "learning_rate"} <= lines[0].keys()
    weights = config.loss.weights.to_dict()
    total = sum(weight * lines[0].get(name, 0.0) for name, weight in weights.items())
    assert lines[0]["loss"] == pytest.approx(total, rel=1e-5)
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["10", "5"]
    device = jax.sharding.SingleDeviceSharding(jax.devices()[3])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), state.ema_params)
    assert_same(checkpoints.load(workdir / "checkpoints", {"ema_params": target})["ema_params"], state.ema_params)


def test_a_window_of_steps_is_traced(config, world, train, ten_steps, tmp_path):
    shutil.copytree(ten_steps[0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "10")
    config.train.profile_steps = (7, 7)  # the step after the one that is compiled
    train(config, tmp_path / "run", world)
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
    config.train.profile_steps = (5, 2)
    with pytest.raises(ValueError, match=r"train.profile_steps is \(first, last\); got \(5, 2\)"):
        train(config, tmp_path / "run", world)


def test_finished_run_has_nothing_to_do(config, world, train, assert_same, ten_steps):
    workdir, state = ten_steps
    before = (workdir / "metrics.jsonl").read_text()
    assert_same(train(config, workdir, world), state)
    assert (workdir / "metrics.jsonl").read_text() == before


@pytest.mark.slow
def test_loss_that_is_not_finite_stops_the_run_and_is_named(config, world, train, assert_same, ten_steps, tmp_path):
    sample_clip, source, mean, std = world

    def sample_broken(source, key):
        """NaN from the seventh step on."""
        clip = sample_clip(source, key)
        late = jax.random.key_data(key) == broken
        return clip._replace(ws=jnp.where(late.all(), jnp.nan, clip.ws))

    index = jnp.uint32(6 * config.train.batch_size + 1)
    broken = jax.random.key_data(jax.random.fold_in(random_streams(config.seed).clips, index))
    broken_world = (sample_broken, source, mean, std)
    with pytest.raises(FloatingPointError, match=r"step 7: .*loss.* not finite.*--workdir=.*nan meets it again"):
        train(config, tmp_path, broken_world)
    assert [line["step"] for line in metrics_log.read(tmp_path / "metrics.jsonl")] == [2, 4, 6]
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        assert checkpoints.latest_step == 5

    # What is left behind is the state before: the next step breaks, and would not if the clips were whole.
    nan = tmp_path / "nan"
    assert [path.name for path in (nan / "checkpoints").iterdir()] == ["6"]
    with pytest.raises(FloatingPointError, match=r"step 7: .*the newest checkpoint is of the step before"):
        train(config, nan, broken_world)
    assert_same(train(config, nan, world), ten_steps[1])


def test_checkpoint_of_another_model_is_refused(config, world, train, ten_steps):
    workdir, state = ten_steps
    wrong = state.ema_params | {"decoder": {}}
    with pytest.raises(ValueError, match=r"does not fit the config: ema_params/decoder.* the config gives none"):
        checkpoints.load(workdir / "checkpoints", {"ema_params": wrong})
    config.model.structure_dim, config.train.num_steps = 4, 12
    with pytest.raises(
        ValueError, match=r"does not fit the config: ema_params/.* \(9, \d+\) there; .* gives \(10, \d+\)"
    ):
        train(config, workdir, world)


def test_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint was written there"):
        checkpoints.load(tmp_path / "checkpoints", {})
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match="no whole checkpoint"):
        checkpoints.load(tmp_path / "checkpoints", {})


def test_metrics_survive_a_line_cut_short(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert metrics_log.read(path) == []
    metrics_log.rewind(path, 0)
    for step in (1, 2, 3):
        metrics_log.append(path, step, {"loss": 1.0 / step})
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in metrics_log.read(path)] == [1, 2, 3]
    metrics_log.rewind(path, 2)
    assert path.read_text() == '{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 0.5}\n'
