"""Atomic writing of files and folders, and paths from command lines."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`, with the same suffix, and rename it to `path` if the body succeeds.

    Parent folders are created. A reader never sees a partial file, and an error leaves an existing file unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.chmod(0o644)  # safetensors creates files that only the owner can read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `atomic`, of a folder: yield a new one, and rename it to `path`, which must be missing or an empty folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")  # without a suffix, as `path`
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_folder(folder: str | os.PathLike[str], what: str | os.PathLike[str]) -> None:
    """Check that files can be written into a folder, which may not exist yet.

    Args:
        folder: path of the folder.
        what: what is to be written, for the error message.

    Raises:
        ValueError: the folder, or one that it is to be created in, is a file.
        PermissionError: that folder is read-only.
    """
    folder = Path(folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{what} cannot be written: {existing} is a file")
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{what} cannot be written: the folder {existing} is read-only")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL, such as https://host/file or gs://bucket/file."""
    return "://" in str(path)


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that means the same in any working directory, with `~` expanded; URLs stay as they are."""
    return str(path) if is_url(path) else str(Path(path).expanduser().absolute())


def local_path(path: str | os.PathLike[str], flag: str) -> Path:
    """The path that a flag gives, with `~` expanded.

    Args:
        path: the value of the flag.
        flag: name of the flag for the error message, such as "--workdir".

    Raises:
        ValueError: the path is a URL, which would otherwise become a local folder called "gs:".
    """
    if is_url(path):
        raise ValueError(
            f"{flag}={path} is a URL, but files are written to local disks alone: mount the bucket (gcsfuse, s3fs, "
            "rclone mount) and give the path of the mounted folder"
        )
    return Path(path).expanduser()
