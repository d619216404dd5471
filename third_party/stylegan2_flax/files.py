"""Files and folders on local disks and in buckets: atomic writing, and paths from command lines.

A path is a `pathlib.Path` or, for what lies in a bucket (gs://), an `etils.epath.Path`; both have the same methods.
Files of a bucket are written whole, so a reader never sees a part; what needs a file of its own disk gets a copy.
"""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from etils import epath

AnyPath = Path | epath.Path
"""A path on a local disk or in a bucket."""

_BUCKET, _LOCAL = "gs://", "file://"


def as_path(path: str | os.PathLike[str]) -> AnyPath:
    """A path as an object: of a bucket for gs://, otherwise of a local disk, with `~` expanded."""
    text = os.fspath(path)
    return epath.Path(text) if text.startswith(_BUCKET) else Path(text.removeprefix(_LOCAL)).expanduser()


def user_cache() -> Path:
    """The user's cache folder, which need not exist yet. Raises RuntimeError if there is no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path lies in a bucket."""
    return os.fspath(path).startswith(_BUCKET)


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary local path, with the same suffix, and rename it to `path`, or upload it, if the body succeeds.

    Parent folders are created. A reader never sees a partial file, and an error leaves an existing file unchanged.

    Raises:
        OSError: the file cannot be uploaded, or the disk is full.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            yield (temporary := Path(folder) / as_path(path).name)
            write_bytes(path, temporary.read_bytes())
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        with _telling_of_a_full_disk(path):
            yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `atomic`, of a folder: yield a new one, and rename it to `path`, which must be missing or an empty folder.

    To a bucket its files are uploaded one by one.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            _upload(Path(folder), as_path(path))
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")  # without a suffix, as `path`
    temporary.mkdir()
    try:
        with _telling_of_a_full_disk(path):
            yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_set(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """As `atomic`, of several files, which appear together or not at all."""
    with ExitStack() as stack:
        yield [stack.enter_context(atomic(path)) for path in paths]


@contextmanager
def _telling_of_a_full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # safetensors and ffmpeg have errors of their own
        if not is_disk_full(error):
            raise
        raise OSError(f"{path} could not be written, for the disk is full: make room, or write elsewhere") from error


def is_disk_full(error: BaseException | None, *words: str) -> bool:
    """Whether the disk is full, by the error number or, if a library wrapped the error, by its message.

    Args:
        error: it, and what caused it, is looked at.
        words: that tell it too.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        text = str(error)
        if any(word in text for word in ("No space left on device", "Disk quota exceeded", "File too large", *words)):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, atomically. Raises OSError if it cannot be uploaded."""
    if not is_remote(path):
        with atomic(path) as temporary:
            temporary.write_bytes(content)
        return
    try:
        as_path(path).write_bytes(content)
    except Exception as error:  # libraries for buckets have errors of their own
        raise OSError(errno.EIO, f"{os.fspath(path)} cannot be written: {type(error).__name__}: {error}") from error


@contextmanager
def local_copy(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a file on a local disk: the file itself, or a copy of one in a bucket.

    Errors that name the copy are raised with the name of the file in the bucket in its place.
    """
    path = as_path(path)
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(path.read_bytes())
        try:
            yield copy
        except (ValueError, OSError) as error:
            error.args = tuple(x.replace(str(copy), str(path)) if isinstance(x, str) else x for x in error.args)
            raise


@contextmanager
def local_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a local folder to write into: the folder itself, or one whose files go to a bucket in the end.

    They do so after an error, too.
    """
    path = as_path(path)
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(folder)
        finally:
            _upload(Path(folder), path)


def _upload(folder: Path, to: AnyPath) -> None:
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        write_bytes(to / file.relative_to(folder).as_posix(), file.read_bytes())


def remove_tree(path: AnyPath) -> None:
    """Remove a folder and all that lies in it. A missing one is no error."""
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.rmtree()


def check_folder(folder: str | os.PathLike[str], what: str | os.PathLike[str]) -> None:
    """Check that files can be written into a folder, which may not exist yet.

    Args:
        folder: path of the folder.
        what: what is to be written, for the error message.

    Whether a bucket can be written into shows when it is.

    Raises:
        ValueError: the folder, or one that it is to be created in, is a file.
        PermissionError: that folder is read-only.
    """
    if is_remote(folder):
        return
    folder = Path(folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{what} cannot be written: {existing} is a file")
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{what} cannot be written: the folder {existing} is read-only")


def check_free(paths: Iterable[Path], force: bool, what: str = "--out") -> None:
    """Raise ValueError if a file is there already and is not to be written over.

    Args:
        paths: the files to write.
        force: whether they may be there.
        what: the flag or argument that names them.
    """
    there = None if force else next((path for path in paths if path.exists()), None)
    if there is not None:
        raise ValueError(f"{there} exists already: give another {what}, or --force to write over it")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL, such as https://host/file or gs://bucket/file."""
    return "://" in str(path)


def _is_elsewhere(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL of anything but a local file."""
    return is_url(path) and not os.fspath(path).startswith(_LOCAL)


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that means the same in any working directory, with `~` expanded; URLs but file:// stay as they are."""
    return str(path) if _is_elsewhere(path) else str(as_path(path).absolute())


def local_path(path: str | os.PathLike[str], flag: str) -> Path:
    """The path of a local file or folder that a flag gives, with `~` expanded.

    Args:
        path: the value of the flag.
        flag: name of the flag for the error message, such as "--out".

    Raises:
        ValueError: the path is empty, or a URL, which would otherwise become a local folder called "gs:".
    """
    _check_given(path, flag)
    if _is_elsewhere(path):
        raise ValueError(
            f"{flag}={path} is a URL, but must be a path on a local disk: copy it there, or mount the bucket"
        )
    return Path(as_path(path))


def storage_path(path: str | os.PathLike[str], flag: str) -> AnyPath:
    """The path of a folder that a flag gives, on a local disk, with `~` expanded, or in a bucket.

    Args:
        path: the value of the flag.
        flag: name of the flag for the error message, such as "--workdir".

    Raises:
        ValueError: the path is empty, or a URL other than gs:// and file://.
        ImportError: what reads and writes buckets is not installed.
        OSError: the bucket cannot be reached.
    """
    _check_given(path, flag)
    if is_url(path) and not os.fspath(path).startswith((_BUCKET, _LOCAL)):
        raise ValueError(
            f"{flag}={path} is a URL, but files are written to local disks and to gs:// alone: mount the bucket (s3fs, "
            "rclone mount) and give the path of the mounted folder"
        )
    if is_remote(path):
        _reach(as_path(path), flag)
        return as_path(path)
    return as_path(path)


def _check_given(path: str | os.PathLike[str], flag: str) -> None:
    """Raise ValueError for an empty path, which would otherwise be the working directory."""
    if not os.fspath(path):
        raise ValueError(f"{flag} is empty: give a path")


def _reach(path: AnyPath, flag: str) -> None:
    """Ask for a path in a bucket, so that a wrong name and missing rights are told at the start."""
    try:
        import gcsfs  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{flag}={path} needs gcsfs: pip install 'disentangle_jax[gcs]'") from error
    try:
        path.exists()
    except Exception as error:  # see write_bytes
        raise OSError(errno.EIO, f"{flag}={path} cannot be reached: {type(error).__name__}: {error}") from error
