"""What all commands (`python -m X`) share: flags, help and error messages.

Errors of the user are one line on stderr and exit code 1. Other errors are bugs: a traceback, a request to report it,
and exit code 70. Ctrl-C is one line and exit code 130.
"""

import dis
import os
import platform
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn

import jax
from absl import app, flags, logging

from stylegan2_flax import files
from stylegan2_flax.run import config_flag
from stylegan2_flax.run.interrupt import Stopped

MEMORY = (
    "lower the batch size (train.batch_size in a training, --batch, --batch_size or evaluation.batch_size elsewhere; "
    "images_per_piece of an inversion); a training may "
    "also raise train.accumulate, or set block_size of its contrasts, and that of a StyleGAN2 lower score.batch_size"
)
"""Advice for when the memory of a device or of the host is exhausted."""


def run(
    main: Callable[..., None],
    flag_values: flags.FlagValues,
    argv: Sequence[str] | None = None,
    positional: Sequence[str] = (),
) -> None:
    """Parse the command line and run `main`.

    Args:
        main: reads the flags and does the work; it gets the positional arguments.
        flag_values: the command's own flags.
        argv: the command line, from the program's name on; None takes the one that the program was started with.
        positional: names of the arguments that are no flags; all of them must be given.
    """
    is_program, argv = argv is None, list(sys.argv if argv is None else argv)
    if any(argument.lstrip("-") in ("help", "helpshort", "helpfull", "h", "?") for argument in argv[1:]):
        print(usage(flag_values))
        sys.exit(0)
    if is_program:
        warnings.formatwarning = _warning_line
    try:
        with exit_on_error():
            rest = parse(flag_values, argv)
        call(main, rest, positional)
    except SystemExit as stop:
        cause = stop.__cause__
        if is_program and (isinstance(cause, KeyboardInterrupt) or _is_lost_process(cause)):
            _leave(stop.code)
        raise


def call(main: Callable[..., None], argv: list[str], positional: Sequence[str] = ()) -> None:
    """Run `main` under flags that are parsed already; `argv` is what they left over, the program's name first.

    Raises:
        SystemExit: `main` met an error; see the top of this file.
    """
    logging.set_verbosity(logging.WARNING)
    keep_compiled()
    with exit_on_error():
        arguments = argv[1:]
        if len(arguments) > len(positional):
            raise app.UsageError(f"unknown argument {arguments[len(positional)]!r}: options are written --name=value")
        if len(arguments) < len(positional):
            raise app.UsageError(f"{positional[len(arguments)]} is missing")
        main(*arguments)


def keep_compiled() -> None:
    """Keep what XLA compiles in the user's cache folder, so that the same command starts sooner the next time.

    Each machine has a folder of its own: compiled code is for its processor. A folder that the user chose
    (JAX_COMPILATION_CACHE_DIR) stays; JAX_ENABLE_COMPILATION_CACHE=0 keeps nothing, nor does a home without room.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return
    try:
        folder = files.user_cache() / "stylegan2_flax" / f"compiled-{platform.node()}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or one that cannot be written to
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def usage(flag_values: flags.FlagValues) -> str:
    """The docstring of the program, and its own flags."""
    lines = [(sys.modules["__main__"].__doc__ or "").strip(), "", "Flags:"]
    for name, flag in sorted((name, flag_values[name]) for name in flag_values):
        default = "" if flag.default is None else f" (default: {flag.default_as_str})"
        lines.append(f"  --{name}: {flag.help}{default}")
    return "\n".join(lines)


def parse(flag_values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Parse the flags. Returns the remaining arguments.

    Raises:
        absl.flags.Error: a flag is unknown, missing or has a wrong value.
        absl.app.UsageError: the config has no such field.
    """
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(argv[:1])  # libraries read flags of their own
    for name in list(flag_values):  # of an earlier call
        if "." in name:
            delattr(flag_values, name)
        else:
            flag_values[name].unparse()
    argv = [_with_underscores(flag_values, argument) for argument in argv]
    config_flag.ARGV[:] = argv = config_flag.ordered(flag_values, argv)
    try:
        return flag_values(argv)
    except (AttributeError, KeyError) as error:  # ml_collections, of an unknown field, with a hint deep inside
        reason = error
        while isinstance(reason, BaseException) and reason.args:
            reason = reason.args[0]
        raise app.UsageError(f"the config has no field {' '.join(str(reason).split())}") from error


def _with_underscores(flag_values: flags.FlagValues, argument: str) -> str:
    """--dry-run=x, as many write it, as --dry_run=x."""
    name, sign, value = argument.partition("=")
    flag = name.removeprefix("--").replace("-", "_")
    return f"--{flag}{sign}{value}" if name.startswith("--") and flag in flag_values else argument


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn errors of the body into an exit with a message; see the top of this file.

    Raises:
        SystemExit: the body raised an error, or was interrupted.
    """
    jax.config.update("jax_traceback_filtering", "off")  # for bug reports, and for `is_deliberate`
    try:
        yield
    except Stopped as stop:
        _say(str(stop))
        sys.exit(128 + stop.signal)  # as shells do
    except KeyboardInterrupt as interrupt:
        _say("Interrupted. Every file that was written is whole.")
        raise SystemExit(130) from interrupt
    except Exception as error:
        advice = explain(error)
        if advice is not None:
            raise SystemExit(f"error: {advice}") from error
        traceback.print_exc()
        _say("This is a fault of the program, not yours: please report it, with the command and the lines above.")
        sys.exit(os.EX_SOFTWARE)


def explain(error: BaseException) -> str | None:
    """The message for an error of the user; None for a bug."""
    text = str(error)
    first = text.strip().split("\n")[0]
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        return f"the memory is exhausted ({first or 'MemoryError'}): {MEMORY}"
    if _is_lost_process(error):
        return (
            f"another process of this run has died or cannot be reached ({first}): see what it said, and start all of "
            "them again; a training goes on from its last checkpoint"
        )
    if _raised_in(error) == "jax._src.xla_bridge":
        wanted = os.environ.get("JAX_PLATFORMS", "")
        return (
            f"JAX finds no such device{f' (JAX_PLATFORMS={wanted})' if wanted else ''}{f': {first}' if first else ''}. "
            "Install what drives it, such as disentangle_jax[cuda] or disentangle_jax[tpu], or unset JAX_PLATFORMS"
        )
    if isinstance(error, flags.Error | app.UsageError):
        return _explain_flags(first)
    if is_deliberate(error):
        return text
    return first if isinstance(error, OSError | ImportError | FloatingPointError) else None


def _is_lost_process(error: BaseException | None) -> bool:
    """Whether processes could not exchange data, as when one of them has died."""
    return error is not None and jax.distributed.is_initialized() and bool(_LOST.search(str(error)))


_LOST = re.compile("Gloo|NCCL|UNAVAILABLE|Connection reset|Connection closed|Socket closed|heartbeat")


def _leave(code: str | int | None) -> NoReturn:
    """End the process without taking Python down.

    XLA's threads may still compute, and crash now and then if Python is taken down around them; and JAX would wait for
    processes that have died, and then abort. The first process, whose end aborts the others, lets them say their line.
    """
    if isinstance(code, str):
        _say(code)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.distributed.is_initialized() and jax.process_index() == 0:
        time.sleep(_GRACE)
    os._exit(code or 0)


_GRACE = 3.0  # seconds


def _explain_flags(text: str) -> str:
    """The message for an error of flags, with an example of the command."""
    missing = re.findall(r"Flag (--\S+) must have a value other than None", text)
    reason = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing" if missing else text
    example = re.search("python -m .*", sys.modules["__main__"].__doc__ or "")
    return f"{reason}. For example:\n    {example[0]}\n--help tells of all flags." if example else reason


def is_deliberate(error: BaseException) -> bool:
    """Whether an error was raised for the user to read: by a `raise` statement in this project, not by a bug."""
    if not isinstance(error, ValueError | OSError | ImportError | FloatingPointError):
        return False
    last = _innermost(error)
    if last is None:
        return True
    raised = dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == "RAISE_VARARGS"
    return raised and _raised_in(error).split(".")[0] not in _FOREIGN


def _raised_in(error: BaseException) -> str:
    """The name of the module that raised an error."""
    last = _innermost(error)
    return "" if last is None else last.tb_frame.f_globals.get("__name__", "")


def _innermost(error: BaseException) -> TracebackType | None:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last


_FOREIGN = set(sys.stdlib_module_names) | {
    "absl",
    "array_record",
    "etils",
    "flax",
    "grain",
    "jax",
    "jaxlib",
    "matplotlib",
    "ml_collections",
    "numpy",
    "optax",
    "orbax",
    "safetensors",
    "scipy",
    "sklearn",
    "tensorflow_datasets",
    "tensorstore",
}
"""Modules whose ValueErrors are bugs of the caller, that is, of this project."""


def _warning_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """One line for what a user is warned of; what concerns programmers keeps its place in the code."""
    if issubclass(category, UserWarning):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _say(message: str) -> None:
    print(message, file=sys.stderr)
