"""The training loop of all trainers.

    restore the newest checkpoint, or initialize the state
    repeat: save, run actions and log if they are due; make a step
    wait for the last checkpoint

A `Trainer` supplies the state and the step, a `Schedule` says how often to log and save. The state after n steps
depends only on the trainer, not on how often the run was interrupted.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import jax
from jax.experimental import multihost_utils
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from stylegan2_flax import files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run.checkpoints import Checkpoints, warn
from stylegan2_flax.run.interrupt import Interrupt, Stopped
from stylegan2_flax.run.profiler import Profiler
from stylegan2_flax.run.recorder import NotFiniteError, Recorder
from stylegan2_flax.run.reproduction import write_reproduction
from stylegan2_flax.run.trees import abstract

State = TypeVar("State", bound=tuple)
"""A NamedTuple of trees of arrays. Its field `step`, int32 [], is the number of steps made."""

Metrics = dict[str, Float[Array, ""]]
"""Scalars of one step by name, still on the devices."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long to train, and how often to log and save.

    Attributes:
        num_steps: total number of steps.
        log_every: steps between lines of metrics.jsonl.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: number of latest checkpoints to keep.
        profile_steps: first and last step to profile; (0, 0) for none.
        tensorboard: whether to write metrics for TensorBoard too.
        max_minutes: stop after this time, with a checkpoint; 0 for no limit.
    """

    num_steps: int
    log_every: int
    checkpoint_every: int
    keep_checkpoints: int
    profile_steps: tuple[int, int] = (0, 0)
    tensorboard: bool = False
    max_minutes: float = 0.0

    @classmethod
    def of(cls, config: ConfigDict) -> "Schedule":
        """The schedule of `config.train`, which may have other fields as well."""
        return cls(**{name: config[name] for name in cls.__dataclass_fields__ if name in config})


SCHEDULE_FIELDS = tuple(f"train.{name}" for name in Schedule.__dataclass_fields__)
"""The config fields of a schedule, which a resumed run may change."""


@dataclass(frozen=True, kw_only=True)
class Action(Generic[State]):
    """Something to do with the state at regular intervals, such as an evaluation.

    Attributes:
        every: steps between calls; there is a call after the last step as well.
        run: (step, state) -> metrics for the log, possibly none. It must not change the state. That is saved first,
            where a checkpoint is due: a long action may be killed.
        at_start: whether to call it before the first step too.
    """

    every: int
    run: Callable[[int, State], dict[str, float]]
    at_start: bool = False

    def is_due(self, step: int, last: int) -> bool:
        return self.at_start if step == 0 else step % self.every == 0 or step == last


@dataclass(frozen=True, kw_only=True)
class Trainer(Generic[State]):
    """What the loop trains.

    Attributes:
        init: returns the initial state, on the devices. `jax.eval_shape` must be able to trace it.
        sharding: the sharding of every array of the state.
        advance: (state, number of the step, from 1) -> (state, metrics). It may donate its state, and must depend on
            its arguments only, so that steps can be repeated.
        actions: what to do between steps, in this order.
        log_metrics: (state, metrics of the last step) -> metrics for the log. By default those of the last step. There
            is a line wherever an action is due, too.
        after_log: state -> state, called for each line of the log, for example to reset running totals. Actions and
            checkpoints get what it returns.
        progress_metrics: names of the metrics to show in the progress bar.
        advice: a hint for the user if a metric is not finite.
    """

    init: Callable[[], State]
    sharding: jax.sharding.Sharding
    advance: Callable[[State, int], tuple[State, Metrics]]
    actions: Sequence[Action[State]] = ()
    log_metrics: Callable[[State, dict[str, float]], dict[str, float]] = field(default=lambda state, metrics: metrics)
    after_log: Callable[[State], State] = field(default=lambda state: state)
    progress_metrics: tuple[str, ...] = ("loss",)
    advice: str = "Try a lower learning rate."


def train(trainer: Trainer[State], schedule: Schedule, workdir: AnyPath) -> State:
    """Train, starting from the newest checkpoint in the workdir if there is one.

    Args:
        trainer: the state and the step.
        schedule: how long to train, and how often to log and save.
        workdir: folder of `checkpoints/` and `metrics.jsonl`. Several processes need one that all of them see.

    Returns:
        The state after the last step, or after `schedule.max_minutes`.

    Raises:
        FloatingPointError: a metric is not finite. The state before that step is saved in workdir/nan.
        OSError: the disk has no space for checkpoints, or the last one could not be written.
        Stopped: SIGINT or SIGTERM was received. A checkpoint was saved first.
        Exception: the trainer raised it. A checkpoint was saved first.
    """
    last, clock = schedule.num_steps, _Clock(schedule)
    with Checkpoints(workdir / "checkpoints", schedule.keep_checkpoints) as checkpoints, Interrupt() as interrupt:
        target = abstract(jax.eval_shape(trainer.init), trainer.sharding)

        def restore() -> State:
            return checkpoints.restore(target) or trainer.init()

        state = restore()
        start = step = _step_of(state)
        is_new, stop = checkpoints.latest_step is None, None
        owed = _Owed(workdir)
        line = owed.line(start)
        logged = None if is_new else start if line is None else start - 1  # the line that is owed is written anew
        recorder = Recorder(workdir, logged, last, trainer.progress_metrics, schedule.tensorboard)
        with recorder, Profiler(workdir / "profile", schedule.profile_steps) as profiler:
            try:
                while True:
                    if step > start or is_new or line is not None:
                        due = _Due.of(trainer, schedule, step, stop)
                        if line is None and due.anything:
                            recorder.fetch()
                        if line is None and due.line:
                            line, state = trainer.log_metrics(state, recorder.values), trainer.after_log(state)
                        if due.actions and due.save:
                            recorder.flush()
                            owed.write(step, line)
                            checkpoints.save(step, state)
                            if stop and step < last:
                                break  # there may be no time for actions
                        _act_and_log(recorder, due, step, state, line)
                        owed.clear()
                        line = None
                        if due.save:
                            checkpoints.save(step, state)
                    if stop or step >= last:
                        break
                    state, metrics = profiler.run(step + 1, trainer.advance, state, step + 1)
                    step += 1
                    recorder.add(step, metrics)
                    stop = interrupt.after(step) or clock.after(step)
            except NotFiniteError as error:
                advice = write_reproduction(workdir, error.step, restore, trainer.advance)
                raise FloatingPointError(f"{error}. {advice} {trainer.advice}") from error
            except Exception:
                if step > start and _rescue(checkpoints, recorder, step, state) and line is not None:
                    owed.write(step, line)
                raise
        checkpoints.finish(step)
    if interrupt.name and step < last:
        raise Stopped(
            f"Stopped by {interrupt.name} after step {step} of {last}; a checkpoint is saved in {workdir}. "
            "The same command goes on from there.",
            interrupt.name,
        )
    return state


def _step_of(state: Any) -> int:
    return int(state.step)


class _Due(NamedTuple):
    """What is due after a step."""

    actions: list[Action[Any]]
    line: bool
    save: bool

    @classmethod
    def of(cls, trainer: Trainer[Any], schedule: Schedule, step: int, stop: str | None) -> "_Due":
        last = schedule.num_steps
        actions = [action for action in trainer.actions if action.is_due(step, last)]
        log = step > 0 and (step % schedule.log_every == 0 or step == last)
        save = step > 0 and (step % schedule.checkpoint_every == 0 or step == last or stop is not None)
        return cls(actions, log or bool(actions), save)

    @property
    def anything(self) -> bool:
        """Only then does the host wait for the devices."""
        return self.line or self.save


def _act_and_log(recorder: Recorder, due: _Due, step: int, state: Any, line: dict[str, float] | None) -> None:
    metrics = dict(line or {})
    for action in due.actions:
        metrics |= action.run(step, state)
    if metrics:
        recorder.write(step, metrics)
    if due.save or due.actions:
        recorder.flush()  # a run that is resumed must find all lines up to its checkpoint


class _Owed:
    """What a checkpoint that is saved before its actions owes: its line of the log, without what they tell.

    A run that resumes from it does them first, and writes the line. The state is that after the line.
    """

    def __init__(self, workdir: AnyPath):
        self._path = workdir / "owed"
        self._is_there = self._path.is_file()

    def line(self, step: int) -> dict[str, float] | None:
        """The line that the checkpoint of this step owes, or None. What another one owed, which was lost, goes."""
        owed = json.loads(self._path.read_text()) if self._is_there else {}
        if str(step) not in owed:
            self.clear()
        return owed.get(str(step))

    def write(self, step: int, line: dict[str, float] | None) -> None:
        if jax.process_index() == 0:
            files.write_text(self._path, json.dumps({step: line}))
            self._is_there = True

    def clear(self) -> None:
        if jax.process_index() == 0 and self._is_there:
            self._path.unlink(missing_ok=True)
            self._is_there = False


def _rescue(checkpoints: Checkpoints, recorder: Recorder, step: int, state: Any) -> bool:
    """Save the state before an error ends the run, unless its arrays were donated. Returns whether it is saved.

    One of several processes cannot save alone, and the others do not know of its error.
    """
    if jax.process_count() > 1 or any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
        return False
    try:
        recorder.fetch()
        checkpoints.save(step, state)
        checkpoints.finish(step)
    except Exception as error:  # the error that ended the run is the one to raise
        warn(f"step {step} could not be saved either ({error})")
        return False
    warn(f"an error ends the run after step {step}, which is saved: the same command goes on from there")
    return True


class _Clock:
    """Stops training after `max_minutes`. With several processes, the clock of process 0 decides."""

    def __init__(self, schedule: Schedule):
        self._began, self._schedule = time.monotonic(), schedule

    def after(self, step: int) -> str | None:
        seconds = 60 * self._schedule.max_minutes
        if seconds <= 0 or (jax.process_count() > 1 and step % self._schedule.log_every):
            return None
        is_up = time.monotonic() - self._began >= seconds
        if jax.process_count() > 1:
            is_up = bool(multihost_utils.broadcast_one_to_all(is_up))
        return "the clock" if is_up else None
