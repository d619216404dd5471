"""A lock on a workdir in a bucket, where no system releases the locks of dead processes.

The object `.lock` names the owner and says when it last gave a sign of life, which it does every 20 seconds. It is
created on the condition that it does not exist, which Google Cloud Storage keeps, and read again. An owner without a
sign of life for two minutes counts as dead: clocks of hosts must agree to within a minute or so. Two processes that
take over the lock of a dead one at the same moment are told apart by reading it again, which works nearly always.
"""

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import fsspec
from etils import epath

from stylegan2_flax import files
from stylegan2_flax.run.checkpoints import warn

HEARTBEAT = 20.0  # seconds between signs of life
STALE = 120.0  # seconds without one after which an owner counts as dead
_SETTLE = 1.0  # seconds after which a lock that was taken over is read again


@contextmanager
def locked(path: epath.Path) -> Iterator[None]:
    """Hold the lock while the body runs.

    Args:
        path: of the object.

    Raises:
        OSError: another process holds it, or it cannot be written.
    """
    me = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    me["token"] = secrets.token_hex(8)
    _take(path, me)
    done = threading.Event()
    heartbeat = threading.Thread(target=_keep_fresh, args=(path, me, done), daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        done.set()
        heartbeat.join()
        with suppress(Exception):  # it grows stale by itself; gcsfs and aiohttp have errors of many kinds
            if _read(path).get("token") == me["token"]:
                path.unlink(missing_ok=True)


def _take(path: epath.Path, me: dict[str, Any]) -> None:
    owner = _read(path)
    age = time.time() - owner.get("alive_ms", 0) / 1000
    if owner and age < STALE:
        raise BlockingIOError(
            f"process {owner.get('pid')} on {owner.get('host')} is at work in {path.parent} since {owner.get('since')} "
            f"and gave a sign of life {max(0.0, age):.0f} s ago. Stop it, or give another folder; if it is dead, try "
            f"again in {STALE - max(0.0, age):.0f} s"
        )
    if owner:
        path.unlink(missing_ok=True)
    with suppress(FileExistsError):  # the other's is then read below
        filesystem, name = fsspec.url_to_fs(os.fspath(path))
        filesystem.pipe_file(name, _text(me).encode(), mode="create")
    if owner:
        time.sleep(_SETTLE)
    if (now := _read(path)).get("token") != me["token"]:
        raise BlockingIOError(
            f"process {now.get('pid')} on {now.get('host')} began to work in {path.parent} at the same moment. Wait "
            "for it, stop it, or give another folder"
        )


def _keep_fresh(path: epath.Path, me: dict[str, Any], done: threading.Event) -> None:
    while not done.wait(HEARTBEAT):
        with suppress(Exception):  # one request that fails must not end the signs of life
            if _read(path).get("token", me["token"]) != me["token"]:  # as after a long sleep of this machine
                warn(f"another process has taken over {path.parent}, as this one seemed dead: stop one of them")
                return
            files.write_text(path, _text(me))


def _text(me: dict[str, Any]) -> str:
    return json.dumps({**me, "alive_ms": int(1000 * time.time())})


def _read(path: epath.Path) -> dict[str, Any]:
    """The owner; empty if there is none, or nothing that names one."""
    try:
        filesystem, name = fsspec.url_to_fs(os.fspath(path))
        owner = json.loads(filesystem.cat_file(name))  # in one request, as its owner may write at any time
    except (FileNotFoundError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}
