"""A lock on a workdir, so that only one run writes into it at a time."""

import fcntl
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax

from stylegan2_flax.files import AnyPath

NAME = ".lock"
_HEARTBEAT = 20.0  # seconds between updates of the lock file
_STALE = 120.0  # seconds without an update after which an owner on another host counts as dead


@contextmanager
def locked(folder: AnyPath) -> Iterator[None]:
    """Lock a folder while the body runs; the folder is created if it is missing, and removed if it stays empty.

    The file `.lock` in the folder names the owner. The lock of a dead process is taken over: immediately on the same
    host, where the system releases it, and after two minutes without a heartbeat from another host. With several
    processes in one run, process 0 holds the lock for all. In a bucket the lock is another: see `bucket_lock`.

    Raises:
        OSError: another process has locked the folder, or it cannot be written.
    """
    if jax.process_index() > 0:
        yield
        return
    if not isinstance(folder, Path):
        from stylegan2_flax.run import bucket_lock  # needs fsspec, which only buckets need

        with bucket_lock.locked(folder / NAME):
            yield
        return
    is_new = not folder.exists()
    descriptor = _acquire(folder)
    done = threading.Event()
    heartbeat = threading.Thread(target=_keep_fresh, args=(descriptor, done), daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        done.set()
        heartbeat.join()
        (folder / NAME).unlink(missing_ok=True)
        os.close(descriptor)
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _acquire(folder: Path) -> int:
    path = folder / NAME
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: nothing can be written into {folder}") from error
        try:
            _take(descriptor, folder)
            if _is_same_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has removed the file in the meantime


def _take(descriptor: int, folder: Path) -> None:
    """Lock the file and write this process into it. Raises BlockingIOError, which names the owner, if it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(
            f"{_describe(_read(descriptor), folder)}. Wait for it, stop it, or give another folder"
        ) from None
    except OSError:
        pass  # the file system has no locks: rely on the content of the file
    owner, age = _read(descriptor), time.time() - os.fstat(descriptor).st_mtime
    if owner and owner.get("host") != platform.node() and age < _STALE:
        raise BlockingIOError(
            f"{_describe(owner, folder)} and gave a sign of life {max(0, age):.0f} s ago. Stop it, or give another "
            f"folder; if it is dead, try again in {_STALE - max(0, age):.0f} s"
        )
    me = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    text = json.dumps(me).encode()
    os.pwrite(descriptor, text, 0)
    os.truncate(descriptor, len(text))


def _describe(owner: dict[str, Any], folder: Path) -> str:
    if not owner:
        return f"another process is at work in {folder}"
    return f"process {owner.get('pid')} on {owner.get('host')} is at work in {folder} since {owner.get('since')}"


def _read(descriptor: int) -> dict[str, Any]:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _keep_fresh(descriptor: int, done: threading.Event) -> None:
    while not done.wait(_HEARTBEAT):
        with suppress(OSError):
            os.utime(descriptor)
