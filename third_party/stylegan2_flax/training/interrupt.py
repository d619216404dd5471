"""SIGINT and SIGTERM as a wish that the training loop can grant between two steps."""

import signal
import threading


class Interrupt:
    """A context manager that notes the first SIGINT or SIGTERM in `name` instead of dying of it; a second acts as ever.

    Python delivers signals to the main thread only: in any other thread this notes nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.name: str | None = None

    def __enter__(self) -> "Interrupt":
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        self.name = signal.Signals(number).name
        self.__exit__()
