"""The loop, on a trainer that counts: its order, and what becomes of a run that stops for whatever reason."""

import os
import shutil
import signal
import sys
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Int
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from stylegan2_flax.run import metrics_log
from stylegan2_flax.run.checkpoints import Checkpoints
from stylegan2_flax.run.interrupt import Stopped
from stylegan2_flax.run.loop import Action, Schedule, Trainer, train


class Count(NamedTuple):
    step: Int[Array, ""]
    total: Int[Array, ""]  # of the numbers of the steps since the last line


@jax.jit
def count(state, number):
    return Count(state.step + 1, state.total + number), {"number": number.astype(jnp.float32)}


SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def counter(before_step=lambda step: None, **options):
    def advance(state, step):
        before_step(step)
        return count(state, jnp.asarray(step))

    init = jax.jit(lambda: Count(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)))
    return Trainer(init=init, sharding=SHARDING, advance=advance, **options)


def schedule(**options):
    values = {"num_steps": 10, "log_every": 4, "checkpoint_every": 5, "keep_checkpoints": 2} | options
    return Schedule.of(ConfigDict(values))


def lines(workdir):
    return metrics_log.read(workdir / "metrics.jsonl")


def saved(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())


def totals(**options):
    """A counter whose lines hold the total since the last line, with an action every third step."""
    seen = []

    def act(step, state):
        assert int(state.step) == step
        seen.append(step)
        return {"acted": float(step)}

    trainer = counter(
        actions=[Action(every=3, run=act, at_start=True)],
        log_metrics=lambda state, values: {"total": float(state.total), **values},
        after_log=lambda state: state._replace(total=jnp.zeros((), jnp.int32)),
        **options,
    )
    return trainer, seen


def die_at(number):
    def die(step):
        if step == number:
            raise KeyboardInterrupt

    return die


def test_what_is_due_is_done_in_order(tmp_path):
    trainer, seen = totals()
    assert int(train(trainer, schedule(), tmp_path).step) == 10
    assert seen == [0, 3, 6, 9, 10]
    assert lines(tmp_path) == [
        {"step": 0, "total": 0.0, "acted": 0.0},
        {"step": 3, "total": 6.0, "number": 3.0, "acted": 3.0},
        {"step": 4, "total": 4.0, "number": 4.0},
        {"step": 6, "total": 11.0, "number": 6.0, "acted": 6.0},
        {"step": 8, "total": 15.0, "number": 8.0},
        {"step": 9, "total": 9.0, "number": 9.0, "acted": 9.0},
        {"step": 10, "total": 10.0, "number": 10.0, "acted": 10.0},
    ]
    assert saved(tmp_path) == [5, 10]


@pytest.fixture(scope="module")
def lines_of_a_whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(totals()[0], schedule(), folder)
    return lines(folder)


@pytest.mark.parametrize("after", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 5)), 7])
def test_a_run_that_ended_at_any_step_ends_as_if_it_never_had(tmp_path, lines_of_a_whole_run, after):
    """As after a kill: the checkpoints are those of before, metrics.jsonl has lines from beyond, one cut short."""

    dying, _ = totals(before_step=die_at(after + 1))
    with pytest.raises(KeyboardInterrupt):
        train(dying, schedule(), tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "to')
    again, _ = totals()
    state = train(again, schedule(), tmp_path / "run")
    assert (int(state.step), int(state.total)) == (10, 0)
    assert lines(tmp_path / "run") == lines_of_a_whole_run


def test_a_signal_saves_before_what_is_due_which_the_next_start_does(tmp_path, lines_of_a_whole_run):
    """A score of an hour would outlast the minutes that a cluster gives."""

    def stop(step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped, seen = totals(before_step=stop)
    with pytest.raises(Stopped, match="after step 6 of 10"):
        train(stopped, schedule(), tmp_path / "run")
    assert seen == [0, 3]
    assert saved(tmp_path / "run") == [5, 6]
    again, seen = totals()
    train(again, schedule(), tmp_path / "run")
    assert seen == [6, 9, 10]
    assert lines(tmp_path / "run") == lines_of_a_whole_run


def test_what_was_owed_is_done_once_however_often_a_run_is_killed(tmp_path, lines_of_a_whole_run):
    stopped, _ = totals(before_step=lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 6 else None)
    with pytest.raises(Stopped):
        train(stopped, schedule(), tmp_path)
    killed, seen = totals(before_step=die_at(7))
    with pytest.raises(KeyboardInterrupt):
        train(killed, schedule(), tmp_path)
    assert seen == [6]
    again, seen = totals()
    train(again, schedule(), tmp_path)
    assert seen == [9, 10]
    assert lines(tmp_path) == lines_of_a_whole_run


def test_a_kill_during_a_long_action_costs_no_step(tmp_path):
    """What is due to be saved is saved before it."""
    every_three = schedule(checkpoint_every=3)
    train(totals()[0], every_three, tmp_path / "whole")
    trainer, seen = totals()
    (action,) = trainer.actions

    def die(step, state):
        if step == 6:
            raise KeyboardInterrupt
        return action.run(step, state)

    with pytest.raises(KeyboardInterrupt):
        train(replace(trainer, actions=[replace(action, run=die)]), every_three, tmp_path / "run")
    assert saved(tmp_path / "run") == [3, 6]
    train(trainer, every_three, tmp_path / "run")
    assert seen == [0, 3, 6, 9, 10]
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_what_a_lost_checkpoint_owed_is_forgotten(tmp_path, lines_of_a_whole_run):
    """As after a kill before the checkpoint was whole."""
    stopped, _ = totals(before_step=lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 6 else None)
    with pytest.raises(Stopped):
        train(stopped, schedule(), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "6")
    train(totals()[0], schedule(), tmp_path)
    assert lines(tmp_path) == lines_of_a_whole_run


def test_an_error_of_any_kind_saves_first(tmp_path, capsys):
    def fail(step):
        if step == 8:
            raise ValueError("images/0003.jpg is cut short")

    with pytest.raises(ValueError, match="cut short"):
        train(counter(fail), schedule(), tmp_path)
    assert saved(tmp_path) == [5, 7]
    assert "an error ends the run after step 7, which is saved: the same command goes on" in capsys.readouterr().err
    assert int(train(counter(), schedule(), tmp_path).step) == 10

    def fail_to_act(step, state):
        raise OSError("no space for a picture")

    with pytest.raises(OSError, match="for a picture"):
        train(counter(actions=[Action(every=12, run=fail_to_act)]), schedule(num_steps=13), tmp_path)
    assert saved(tmp_path) == [10, 12]


@pytest.mark.parametrize("fails_at", [4, 10])
def test_what_was_due_when_an_error_came_is_done_by_the_run_that_goes_on(tmp_path, fails_at):
    def play(folder, fails):
        acted = []

        def act(step, state):
            if step == fails_at and fails:
                raise OSError("no space for a picture")
            acted.append(step)
            return {"act": float(step)}

        trainer = counter(actions=[Action(every=4, run=act)])
        if fails:
            with pytest.raises(OSError, match="for a picture"):
                train(trainer, schedule(), folder)
            fails = False
        assert int(train(trainer, schedule(), folder).step) == 10
        return acted, metrics_log.read(folder / "metrics.jsonl")

    assert play(tmp_path / "stopped", fails=True) == play(tmp_path / "whole", fails=False)


def test_an_error_of_the_step_itself_saves_no_state_that_it_gave_up(tmp_path, capsys):
    """As when the memory is exhausted: the state was donated."""
    donating = jax.jit(lambda state: state, donate_argnums=0)

    def advance(state, step):
        if step == 7:
            donating(state)
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return count(state, jnp.asarray(step))

    trainer = counter()
    trainer = Trainer(init=trainer.init, sharding=SHARDING, advance=advance)
    with pytest.raises(RuntimeError, match="EXHAUSTED"):
        train(trainer, schedule(), tmp_path)
    assert saved(tmp_path) == [5]
    assert "saved" not in capsys.readouterr().err


def test_the_clock_ends_a_run_with_a_checkpoint(tmp_path):
    assert [int(train(counter(), schedule(max_minutes=1e-9), tmp_path).step) for _ in range(2)] == [1, 2]
    assert saved(tmp_path) == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_a_checkpoint(tmp_path, number):
    def interrupt(step):
        if step == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match=rf"{number.name} after step 3 of 10.*same command") as stop:
        train(counter(interrupt), schedule(), tmp_path)
    assert stop.value.signal == number
    assert saved(tmp_path) == [3]


def test_a_step_that_is_not_finite_leaves_the_state_before_it(tmp_path):
    def advance(state, step):
        state, values = count(state, jnp.asarray(step))
        return state, values | {"loss": jnp.where(state.step == 7, jnp.nan, 1.0)}

    trainer = Trainer(init=counter().init, sharding=SHARDING, advance=advance, advice="Pray.")
    with pytest.raises(FloatingPointError, match=r"step 7: loss is not finite.*--workdir=.*nan meets it again.*Pray"):
        train(trainer, schedule(), tmp_path)
    assert saved(tmp_path) == [5]
    assert saved(tmp_path / "nan") == [6]


def test_a_save_that_fails_for_another_reason_than_room_ends_a_run_at_once(tmp_path, monkeypatch):
    """The first one; a later one, which may succeed the next time, is told."""
    save, broken = ocp.training.Checkpointer.save_checkpointables_async, {5}

    def save_or_fail(self, step, *arguments, **options):
        if step in broken:
            raise TypeError("this Orbax has no such argument")
        return save(self, step, *arguments, **options)

    monkeypatch.setattr(ocp.training.Checkpointer, "save_checkpointables_async", save_or_fail)
    with pytest.raises(OSError, match="the first checkpoint could not be written: this Orbax has no such argument"):
        train(counter(), schedule(), tmp_path / "first")
    assert [line["step"] for line in lines(tmp_path / "first")] == [4]
    broken.clear()
    broken.add(6)
    train(counter(), schedule(checkpoint_every=3), tmp_path / "later")
    assert saved(tmp_path / "later") == [9, 10]


def test_tensorboard_gets_the_lines_too(tmp_path):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    train(counter(), schedule(tensorboard=True), tmp_path)
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, events = path.read_bytes(), []
    while data:  # length, its checksum, the event, its checksum
        size = int.from_bytes(data[:8], "little")
        events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    written = [(event.step, value.tag, value.simple_value) for event in events for value in event.summary.value]
    assert written == [(4, "number", 4.0), (8, "number", 8.0), (10, "number", 10.0)]


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"train.tensorboard is set.*pip install 'disentangle_jax\[tensorboard\]'"):
        train(counter(), schedule(tensorboard=True), tmp_path)


def test_a_checkpoint_holds_the_state(tmp_path):
    state = train(counter(), schedule(), tmp_path)
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=SHARDING), state)
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        assert checkpoints.restore(target) == state
