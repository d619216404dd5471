"""Ctrl-C while a command is still importing, which takes seconds, is one line and no traceback."""

import sys
from types import TracebackType


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # what `python -m` leaves there until the packages around the command are imported
    sys.excepthook = _excepthook
