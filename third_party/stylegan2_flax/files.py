"""Files that are either whole or absent."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path` (same suffix, parents made); rename it to `path` if the body succeeds.

    A reader never meets half a file, and a failure leaves what was there before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.chmod(0o644)  # safetensors writes for the owner alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
