"""Handling of SIGINT and SIGTERM: the training loop finishes its step and saves a checkpoint before it exits."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


class Stopped(SystemExit):
    """Training stopped because of a signal, after a checkpoint was saved.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, message: str, name: str):
        super().__init__(message)
        self.signal = int(signal.Signals[name])


class Interrupt:
    """A context manager that records the first SIGINT or SIGTERM in `name`; a second one terminates the process.

    Python delivers signals to the main thread only, so in other threads nothing is recorded. With several processes
    JAX handles SIGTERM, and finds a step after which all of them can stop.
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
            # A handler that was not installed from Python cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def after(self, step: int) -> str | None:
        """The name of the signal to stop for after this step, or None. Must be called after every step."""
        if jax.process_count() > 1 and multihost_utils.reached_preemption_sync_point(step):
            self.name = signal.SIGTERM.name
        return self.name

    def _note(self, number, frame) -> None:
        self.name = signal.Signals(number).name
        self.__exit__()
