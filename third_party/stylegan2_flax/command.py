"""What all commands (`python -m X`) share: quiet logs, no stray arguments, errors as one line."""

import functools
import sys
from collections.abc import Callable

from absl import app, logging


def run(main: Callable[[], None]) -> None:
    """Parse the command line and run `main`."""
    app.run(functools.partial(call, main), flags_parser=_parse_flags)


def call(main: Callable[[], None], argv: list[str]) -> None:
    """Run `main` under flags that are parsed already; `argv` is what they left over.

    Raises:
        absl.app.UsageError: an argument is left over.
        SystemExit: `main` met an error that its user can mend, and the exit's code is the message; or Ctrl-C, 130.
    """
    logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}: options are written --name=value")
    try:
        main()
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("Interrupted. Every file that was written is whole.", file=sys.stderr)
        sys.exit(130)  # as shells do: 128 + SIGINT


def _parse_flags(argv: list[str]) -> list[str]:
    """ml_collections raises on an unknown field of the config, with a hint deep inside."""
    try:
        return app.parse_flags_with_usage(argv)
    except AttributeError as error:
        reason = error
        while isinstance(reason, BaseException):
            reason = reason.args[0]
        sys.exit(f"error: the config has no field {reason}")
