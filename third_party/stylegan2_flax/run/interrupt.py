"""SIGINT and SIGTERM as a wish that the training loop can grant between two steps."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


class Stopped(SystemExit):
    """A signal stopped the program at a place where it could be stopped.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, message: str, name: str):
        super().__init__(message)
        self.signal = int(signal.Signals[name])


class Interrupt:
    """A context manager that notes the first SIGINT or SIGTERM in `name` instead of dying of it; a second acts as ever.

    Python delivers signals to the main thread only: in any other thread this notes nothing. Of several processes each
    gets a signal of its own, at its own time: there JAX takes SIGTERM and finds a step at which all can stop.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.name: str | None = None

    def __enter__(self) -> "Interrupt":
        self._previous = {}
        if threading.current_thread() is threading.main_thread() and jax.process_count() == 1:
            self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            # A handler that is not Python's own cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def after(self, step: int) -> str | None:
        """Name of the signal that asks all processes to stop after this step. To be asked after each step."""
        if jax.process_count() > 1 and multihost_utils.reached_preemption_sync_point(step):
            self.name = signal.SIGTERM.name
        return self.name

    def _note(self, number, frame) -> None:
        self.name = signal.Signals(number).name
        self.__exit__()
