"""Profiling of a range of training steps."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import jax

from stylegan2_flax.files import AnyPath, local_folder

Result = TypeVar("Result")


class Profiler:
    """A context manager that traces a range of steps.

    View the trace with `tensorboard --logdir=FOLDER` (plug-in xprof) or with Perfetto.

    Args:
        folder: where the trace is written.
        window: first and last step to trace; (0, 0) traces nothing.

    Raises:
        ValueError: the first step is after the last.
    """

    def __init__(self, folder: AnyPath, window: tuple[int, int]):
        self._folder, (self._first, self._last), self._running = folder, window, False
        self._destination = ExitStack()
        if self._first > self._last:
            raise ValueError(f"train.profile_steps is (first, last); got {window}")

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
            self._destination.close()

    def run(self, step: int, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run `function(*arguments)`, which makes this step; trace it if it is in the range."""
        if not self._running and self._first <= step <= self._last:  # a resumed run may begin within the range
            jax.profiler.start_trace(self._destination.enter_context(local_folder(self._folder)))
            self._running = True
        if not self._running:
            return function(*arguments)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            result = function(*arguments)
        if step == self._last:
            jax.block_until_ready(result)  # the trace must include the work on the devices
            self.__exit__()
        return result
