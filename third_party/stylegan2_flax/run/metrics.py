"""metrics.jsonl: one JSON object a line, `step` first.

No clock times are written, so the file of a resumed run equals that of an uninterrupted one.
"""

import errno
import json
from pathlib import Path

from stylegan2_flax.files import atomic


def append(path: Path, step: int, values: dict[str, float]) -> None:
    """Append one line. Raises OSError, and writes nothing, if the disk is full."""
    line = (json.dumps({"step": step, **values}) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(line) < len(line):
            file.truncate(end)
            raise OSError(errno.ENOSPC, f"no space left for a line in {path}")


def read(path: Path) -> list[dict[str, int | float]]:
    """Read all complete lines. Lines that are cut short or damaged are skipped; a missing file has none."""
    return [line for line in map(_parse, _lines(path)) if line is not None]


def count_damaged(path: Path) -> int:
    """The number of damaged lines, which `read` skips."""
    return sum(_parse(line) is None for line in _lines(path))


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]


def _parse(text: str) -> dict[str, int | float] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or not isinstance(line.get("step"), int):
        return None
    return line if all(isinstance(value, int | float) for value in line.values()) else None


def rewind(path: Path, step: int) -> None:
    """Remove the lines after `step`, since those steps will run again."""
    if path.exists():
        kept = [line for line in read(path) if line["step"] <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
