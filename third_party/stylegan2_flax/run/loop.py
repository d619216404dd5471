"""The training loop: everything here that is trained goes through it.

    restore, or start afresh
    between two steps: act, log, save what is due
    a step
    ...
    wait for the last checkpoint

A trainer supplies its step and its state; the schedule says what is due when. The state after n steps depends on the
trainer alone, not on how often the run was stopped.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
from jax.experimental import multihost_utils
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from stylegan2_flax.run.arrays import abstract
from stylegan2_flax.run.checkpoints import Checkpoints, warn
from stylegan2_flax.run.interrupt import Interrupt, Stopped
from stylegan2_flax.run.profiler import Profiler
from stylegan2_flax.run.recorder import NotFiniteError, Recorder
from stylegan2_flax.run.reproduction import leave_reproduction

State = TypeVar("State", bound=tuple)
"""A NamedTuple of trees of arrays, one of them `step`: the number of steps made, int32 []."""

Values = dict[str, Float[Array, ""]]
"""Figures of one step, on the devices."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is due when, in steps.

    Attributes:
        num_steps: steps to make in all.
        log_every: between lines of metrics.jsonl.
        checkpoint_every: between checkpoints.
        keep_checkpoints: how many of the latest to keep.
        profile_steps: first and last step to trace; (0, 0) traces none.
        tensorboard: whether TensorBoard gets the figures too.
        max_minutes: stop, with a checkpoint, after so many; 0: no such bound.
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
        """The schedule of a section that has these fields, and perhaps others: `config.train`."""
        return cls(**{name: config[name] for name in cls.__dataclass_fields__ if name in config})


@dataclass(frozen=True, kw_only=True)
class Action(Generic[State]):
    """What a trainer does with its state now and then, such as scoring it.

    Attributes:
        every: steps from one time to the next; it is done after the last step as well.
        run: (step, state) -> figures for the log, or none. It must not change the state.
        at_start: whether it is done before the first step too.
    """

    every: int
    run: Callable[[int, State], dict[str, float]]
    at_start: bool = False

    def is_due(self, step: int, last: int) -> bool:
        return self.at_start if step == 0 else step % self.every == 0 or step == last


@dataclass(frozen=True, kw_only=True)
class Trainer(Generic[State]):
    """What is trained, and how.

    Attributes:
        init: gives the state before the first step, on the devices; `jax.eval_shape` must be able to trace it.
        sharding: of every array of the state.
        advance: (state, number of the step, from 1) -> state, figures of this step. It may give up (donate) its state,
            and depends on nothing but its arguments, so that steps can be made again.
        actions: what else is done between steps, in this order.
        line: (state, figures of the last step) -> what the log gets. By default the figures.
        after_line: (state) -> the state to go on with after a line, such as one whose totals begin anew.
        shown: names of figures for the progress bar.
        advice: what may help when a figure is not finite.
    """

    init: Callable[[], State]
    sharding: jax.sharding.Sharding
    advance: Callable[[State, int], tuple[State, Values]]
    actions: Sequence[Action[State]] = ()
    line: Callable[[State, dict[str, float]], dict[str, float]] = field(default=lambda state, values: values)
    after_line: Callable[[State], State] = field(default=lambda state: state)
    shown: tuple[str, ...] = ("loss",)
    advice: str = "Try a lower learning rate."


def train(trainer: Trainer[State], schedule: Schedule, workdir: Path) -> State:
    """Train, from the workdir's newest checkpoint or afresh.

    Args:
        trainer: what is trained.
        schedule: what is due when.
        workdir: where `checkpoints/` and `metrics.jsonl` are written and looked for; of several processes, on a disk
            that all of them see.

    Returns:
        The state after the last step, or where `schedule.max_minutes` ended it.

    Raises:
        FloatingPointError: a figure is not finite; nothing is saved from then on but what reproduces it.
        OSError: there is no room for checkpoints, or the last one could not be written.
        Stopped: SIGINT or SIGTERM came; a checkpoint was saved first.
        Exception: whatever the trainer raises; a checkpoint is saved first.
    """
    last, clock = schedule.num_steps, _Clock(schedule)
    with Checkpoints(workdir / "checkpoints", schedule.keep_checkpoints) as checkpoints, Interrupt() as interrupt:
        target = abstract(jax.eval_shape(trainer.init), trainer.sharding)

        def restore() -> State:
            return checkpoints.restore(target) or trainer.init()

        state = restore()
        start = step = _step_of(state)
        is_new, stop = checkpoints.latest_step is None, None
        recorder = Recorder(workdir, None if is_new else start, last, trainer.shown, schedule.tensorboard)
        with recorder, Profiler(workdir / "profile", schedule.profile_steps) as profiler:
            try:
                while True:
                    if step > start or is_new:
                        state = _between_steps(trainer, schedule, recorder, checkpoints, step, state, stop)
                    if stop or step >= last:
                        break
                    state, values = profiler.run(step + 1, trainer.advance, state, step + 1)
                    step += 1
                    recorder.add(step, values)
                    stop = interrupt.after(step) or clock.after(step)
            except NotFiniteError as error:
                advice = leave_reproduction(workdir, error.step, restore, trainer.advance)
                raise FloatingPointError(f"{error}. {advice} {trainer.advice}") from error
            except Exception:
                if step > start:
                    _rescue(checkpoints, recorder, step, state)
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


def _between_steps(
    trainer: Trainer[State],
    schedule: Schedule,
    recorder: Recorder,
    checkpoints: Checkpoints,
    step: int,
    state: State,
    stop: str | None,
) -> State:
    """Do what is due after this step. Only what is due waits for the devices."""
    last = schedule.num_steps
    actions = [action for action in trainer.actions if action.is_due(step, last)]
    log = step > 0 and (step % schedule.log_every == 0 or step == last)
    save = step > 0 and (step % schedule.checkpoint_every == 0 or step == last or stop is not None)
    if actions or log or save:
        recorder.look()
    figures: dict[str, float] = {}
    for action in actions:
        figures |= action.run(step, state)
    if log or figures:
        recorder.write(step, trainer.line(state, recorder.values) | figures)
        state = trainer.after_line(state)
    if save:
        checkpoints.save(step, state)
    return state


def _rescue(checkpoints: Checkpoints, recorder: Recorder, step: int, state: Any) -> None:
    """Save the state before an error ends the run, if it is whole.

    Of several processes one cannot save alone, and the others know nothing of its error.
    """
    if jax.process_count() > 1 or any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
        return
    try:
        recorder.look()
        checkpoints.save(step, state)
        checkpoints.finish(step)
    except Exception as error:  # the one that ends the run is told, this one beside it
        warn(f"step {step} could not be saved either ({error})")
    else:
        warn(f"an error ends the run after step {step}, which is saved: the same command goes on from there")


class _Clock:
    """Wishes to stop when the minutes are over; of several processes the first one's clock counts."""

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
