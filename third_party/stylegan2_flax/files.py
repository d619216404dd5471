"""Files that are either whole or absent, and paths as a command line gives them."""

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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL, such as https://host/file or gs://bucket/file."""
    return "://" in str(path)


def local_path(path: str | os.PathLike[str], flag: str) -> Path:
    """The path that a flag names, with `~` expanded.

    Args:
        path: as the user typed it.
        flag: its name, for the error message: "--workdir".

    Raises:
        ValueError: the path is a URL, from which the file system would make a folder called "gs:".
    """
    if is_url(path):
        raise ValueError(
            f"{flag}={path} is a URL, but files are written to local disks alone: mount the bucket (gcsfuse, s3fs, "
            "rclone mount) and give the path of the mounted folder"
        )
    return Path(path).expanduser()
