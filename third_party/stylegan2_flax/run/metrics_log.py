"""metrics.jsonl: one JSON object a line, `step` first.

No clock times are written, so the file of a resumed run equals that of an uninterrupted one.
"""

import errno
import json
import time
from collections.abc import Mapping
from pathlib import Path

from stylegan2_flax.files import AnyPath, is_remote, write_text

_PATIENCE = 30.0  # seconds


class Log:
    """A file that lines are appended to.

    Files of a bucket cannot be appended to: there the file is written anew, at most every 30 seconds, and in `flush`.

    Args:
        path: the file, which may be missing.
        step: lines after it are removed, since those steps will run again.
    """

    def __init__(self, path: AnyPath, step: int):
        self._path = path
        rewind(path, step)
        self._text = "".join(map(_line, read(path))) if is_remote(path) else ""
        self._flushed, self._when = self._text, time.monotonic()

    def append(self, step: int, values: dict[str, float]) -> None:
        """Append one line. Raises OSError, and writes nothing, if the disk is full."""
        if isinstance(self._path, Path):
            append(self._path, step, values)
            return
        self._text += _line({"step": step, **values})
        if time.monotonic() - self._when >= _PATIENCE:
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet. Raises OSError if that fails; a later call then writes all."""
        if self._text != self._flushed:
            self._when = time.monotonic()
            write_text(self._path, self._text)
            self._flushed = self._text


def append(path: Path, step: int, values: dict[str, float]) -> None:
    """Append one line. Raises OSError, and writes nothing, if the disk is full."""
    line = _line({"step": step, **values}).encode()
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(line) < len(line):
            file.truncate(end)
            raise OSError(errno.ENOSPC, f"no space left for a line in {path}")


def read(path: AnyPath) -> list[dict[str, int | float]]:
    """Read all complete lines. Lines that are cut short or damaged are skipped; a missing file has none."""
    return [line for line in map(_parse, _lines(path)) if line is not None]


def count_damaged(path: AnyPath) -> int:
    """The number of damaged lines, which `read` skips."""
    return sum(_parse(line) is None for line in _lines(path))


def _lines(path: AnyPath) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_bytes().decode(errors="replace").split("\n") if line.strip()]


def _parse(text: str) -> dict[str, int | float] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or not isinstance(line.get("step"), int):
        return None
    return line if all(isinstance(value, int | float) for value in line.values()) else None


def rewind(path: AnyPath, step: int) -> None:
    """Remove the lines after `step`, since those steps will run again."""
    if path.exists():
        kept = [line for line in read(path) if line["step"] <= step]
        write_text(path, "".join(map(_line, kept)))


def _line(values: Mapping[str, int | float]) -> str:
    return json.dumps(values) + "\n"
