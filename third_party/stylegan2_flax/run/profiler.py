"""A window of steps whose trace shows where their time goes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax

Result = TypeVar("Result")


class Profiler:
    """Traces the steps from the first to the last of a window into a folder; a context manager.

    `tensorboard --logdir=FOLDER` with the plug-in xprof shows the trace, and so does Perfetto.

    Args:
        folder: where the trace is written.
        window: first and last step; (0, 0) traces nothing.

    Raises:
        ValueError: the last step comes before the first.
    """

    def __init__(self, folder: Path, window: tuple[int, int]):
        self._folder, (self._first, self._last), self._running = folder, window, False
        if self._first > self._last:
            raise ValueError(f"train.profile_steps is (first, last); got {window}")

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()

    def run(self, step: int, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call the function that makes this step."""
        if step == self._first:
            jax.profiler.start_trace(self._folder)
            self._running = True
        if not self._running:
            return function(*arguments)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            result = function(*arguments)
        if step == self._last:
            jax.block_until_ready(result)  # until then the devices are not done
            self.__exit__()
        return result
