"""Who owns a workdir: one process, or one group of joined processes, at a time."""

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

NAME = ".lock"
_BEAT = 20.0  # seconds between signs of life
_STALE = 120.0  # seconds without one, after which the owner on another host counts as dead


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own a folder while the body runs, so that no other process writes into it; it is made if missing.

    The file `.lock` in it names the owner. What a dead process left is taken over: on this host at once, as the system
    frees the lock of a process that dies; of another host after two minutes without a sign of life. Of several joined
    processes the first owns for all. A folder that the body left empty is removed.

    Raises:
        OSError: another process owns the folder, or nothing can be written there.
    """
    if jax.process_index() > 0:
        yield
        return
    made = not folder.exists()
    descriptor = _acquire(folder)
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(descriptor, done), daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()
        (folder / NAME).unlink(missing_ok=True)
        os.close(descriptor)
        if made:
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
        os.close(descriptor)  # its owner removed it in the meantime


def _take(descriptor: int, folder: Path) -> None:
    """Lock the file and write this process's name into it, or raise the error that names the owner."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(
            f"{_told(_read(descriptor), folder)}. Wait for it, stop it, or give another folder"
        ) from None
    except OSError:
        pass  # a file system without locks: what is written in the file must do
    owner, age = _read(descriptor), time.time() - os.fstat(descriptor).st_mtime
    if owner and owner.get("host") != platform.node() and age < _STALE:
        raise BlockingIOError(
            f"{_told(owner, folder)} and gave a sign of life {max(0, age):.0f} s ago. Stop it, or give another folder; "
            f"if it is dead, try again in {_STALE - max(0, age):.0f} s"
        )
    me = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    text = json.dumps(me).encode()
    os.pwrite(descriptor, text, 0)
    os.truncate(descriptor, len(text))


def _told(owner: dict[str, Any], folder: Path) -> str:
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


def _beat(descriptor: int, done: threading.Event) -> None:
    while not done.wait(_BEAT):
        with suppress(OSError):
            os.utime(descriptor)
