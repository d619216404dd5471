"""Checkpoints of a train state, which is a named tuple: the only file that knows Orbax.

Each field of the state is an item of its own in a checkpoint, so that a reader takes what it needs: a user of the model
wants the averaged parameters and the buffers, not the optimiser's memory.

A checkpoint is whole or absent: Orbax writes under another name and renames. One that was damaged afterwards, which the
digests that lie in it tell, is named on stderr, and the one before it is used.
"""

import errno
import logging
import math
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree, UInt
from orbax.checkpoint import v1 as ocp
from tqdm import tqdm

from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run.arrays import Misfit, check_shapes, named

State = TypeVar("State", bound=tuple)
"""A NamedTuple of trees of arrays."""

_DIGESTS = "digests"
"""The item of a checkpoint that tells whether the others are as they were written."""


class Checkpoints:
    """The checkpoints of one run, written in the background while training goes on; a context manager.

    Args:
        folder: where they lie, one numbered folder each; made if missing.
        keep: how many of the latest to keep.
    """

    def __init__(self, folder: Path, keep: int):
        self._folder, self._keep = folder, keep
        self._checkpointer = self._open(tidy=True)
        self._found, self._saved = self.latest_step, False  # the newest from before; whether one of this run is there

    def __enter__(self) -> "Checkpoints":
        logging.getLogger("absl").addFilter(_not_from_orbax)
        return self

    def __exit__(self, *exception: object) -> None:
        self.wait()
        self._checkpointer.close()
        logging.getLogger("absl").removeFilter(_not_from_orbax)

    @property
    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, whole or about to be."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def restore(self, target: State) -> State | None:
        """The newest checkpoint, with the shapes, dtypes and shardings of `target` (jax.ShapeDtypeStruct).

        Those that are damaged are moved into the folder `damaged` beside this one. None if there is no checkpoint.

        Raises:
            OSError: there is no room for the checkpoints of this run.
            ValueError: they are of another model, or all are damaged.
        """
        self.wait()
        self._check_room(target)
        if self.latest_step is None:
            return None
        found = _load_newest(self._checkpointer, _fields(target))
        if found.damaged:
            with parallel.first_process_first("damaged"):
                for path in found.damaged:
                    _move(path, self._folder.with_name("damaged") / path.name)
            self._reopen()
        return type(target)(**found.fields)

    def save(self, step: int, state: Any) -> None:
        """Save the state after `step` steps, unless it is there. Returns as soon as the state may be donated.

        A save that fails for want of room is told on stderr, here or when it is waited for. The older ones stay. So is
        one that fails for another reason, if one of this run succeeded: the first must not fail, or nothing would be
        left at the end. Of several processes, which cannot know of each other's failures, any failure ends the run.

        Raises:
            OSError: the first checkpoint could not be written, for another reason than want of room.
        """
        self.wait()
        if step != self.latest_step:
            with self._survived():
                fields = _fields(state)
                self._checkpointer.save_checkpointables_async(step, {**fields, _DIGESTS: _digests(fields)}, force=True)

    def wait(self) -> None:
        """Wait until what is being saved is on the disk. Raises like `save`."""
        with self._survived():
            self._checkpointer.wait()
            self._saved = self._saved or self.latest_step not in (None, self._found)

    def finish(self, step: int) -> None:
        """Wait, and make sure that the state after `step` steps is there.

        Raises:
            OSError: it could not be written.
        """
        self.wait()
        if (self.latest_step or 0) != step:
            raise OSError(
                errno.EIO,
                f"step {step} is made, but not saved: the newest checkpoint in {self._folder} is of step "
                f"{self.latest_step or 0}. Make room; the same command goes on from there",
            )

    def _open(self, tidy: bool) -> ocp.training.Checkpointer:
        return ocp.training.Checkpointer(
            str(self._folder.absolute()),
            preservation_policy=ocp.training.preservation_policies.LatestN(self._keep),  # pyright: ignore[reportArgumentType]
            cleanup_tmp_directories=tidy,
        )

    def _reopen(self) -> None:
        """See what lies in the folder."""
        with suppress(Exception):  # one that could not write a checkpoint may complain of it once more
            self._checkpointer.close()
        self._checkpointer = self._open(tidy=False)

    @contextmanager
    def _survived(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax, TensorStore and the system have many, and no common one
            if jax.process_count() > 1:
                raise
            if not self._saved and not _is_want_of_room(error):
                raise OSError(errno.EIO, f"the first checkpoint could not be written: {_reason(error)}") from error
            for path in self._folder.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(path, ignore_errors=True)  # what cannot be cleared away now, the next start will
            self._reopen()
            warn(
                f"a checkpoint could not be written ({_reason(error)}); the newest in {self._folder} is of step "
                f"{self.latest_step or 0}"
            )

    def _check_room(self, target: Any) -> None:
        size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(target))
        # While one is written, those that are to be kept are there as well.
        missing = max(1, self._keep + 1 - len(self._checkpointer.checkpoints))
        free = shutil.disk_usage(self._folder).free
        if free < missing * size:
            raise OSError(
                errno.ENOSPC,
                f"{self._folder} has {free / 1e6:.0f} MB left, and {missing} more checkpoints of {size / 1e6:.0f} MB "
                "are to come: make room, or lower train.keep_checkpoints",
            )


def load(folder: Path, target: dict[str, PyTree]) -> dict[str, PyTree]:
    """Read the fields of the newest checkpoint in `folder` that `target` holds: {field: jax.ShapeDtypeStruct tree}.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: it holds other fields, names or shapes; or all are damaged.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: no checkpoint was written there")
    with ocp.training.Checkpointer(str(folder.absolute())) as checkpointer:
        if checkpointer.latest is None:
            raise FileNotFoundError(f"{folder} holds no whole checkpoint")
        return _load_newest(checkpointer, target).fields


def _fields(state: Any) -> dict[str, PyTree]:
    return state._asdict()


class _Found(NamedTuple):
    fields: dict[str, PyTree]
    damaged: list[Path]  # newer ones that could not be read


def _load_newest(checkpointer: ocp.training.Checkpointer, target: dict[str, Any]) -> _Found:
    reasons: dict[Path, str] = {}
    for checkpoint in reversed(checkpointer.checkpoints):
        path = Path(str(checkpoint.path))
        try:
            fields = _load(checkpointer, checkpoint.step, path, target)
        except Misfit:
            raise
        except Exception as error:  # see _survived
            reasons[path] = _reason(error)
            continue
        for damaged, reason in reasons.items():
            warn(f"checkpoint {damaged} is damaged ({reason}); that of step {checkpoint.step} is used")
        return _Found(fields, list(reasons))
    raise ValueError(
        "no checkpoint can be read:\n" + "\n".join(f"  {path}: {reason}" for path, reason in reasons.items()) + "\n"
        "Delete their folder to start over."
    )


def _load(checkpointer: ocp.training.Checkpointer, step: int, path: Path, target: dict[str, Any]) -> dict[str, PyTree]:
    """Raises Misfit if it is of another model, and whatever else if it is damaged."""
    stored = checkpointer.checkpointables_metadata(step).metadata
    for field, tree in target.items():
        if stored.get(field) is None and jax.tree.leaves(tree):
            raise ValueError(f"it has no readable {field}")
    check_shapes(f"checkpoint {path}", named({field: stored[field] for field in target}), named(target))
    sharding = jax.tree.leaves(target)[0].sharding
    digests = {name: jax.ShapeDtypeStruct((), jnp.uint32, sharding=sharding) for name in stored if name != _DIGESTS}
    fields = checkpointer.load_checkpointables(step, {**target, _DIGESTS: digests})
    wanted = fields.pop(_DIGESTS)
    for field, digest in _digests(fields).items():
        if int(digest) != int(wanted[field]):
            raise ValueError(f"its {field} has changed since it was written")
    return fields


@jax.jit
def _digests(fields: dict[str, PyTree]) -> dict[str, UInt[Array, ""]]:
    """Of each field a number that tells whether a bit of it has changed, on whatever devices it lies."""
    return {field: _digest(tree) for field, tree in fields.items()}


def _digest(tree: PyTree) -> UInt[Array, ""]:
    """The sum of all entries' bits, weighted by their places: the weights are odd, so no bit of the sum is lost."""
    total = jnp.zeros((), jnp.uint32)
    for leaf in jax.tree.leaves(tree):
        width = 8 * leaf.dtype.itemsize
        bits = jax.lax.bitcast_convert_type(leaf, f"uint{width}").astype(jnp.uint32).reshape(-1)
        weights = jnp.uint32(0x9E3779B1) * (2 * jnp.arange(len(bits), dtype=jnp.uint32) + 1)
        total = total * jnp.uint32(0x85EBCA6B) + jnp.sum(bits * weights, dtype=jnp.uint32)
    return total


def _move(path: Path, to: Path) -> None:
    if not path.exists():  # another process was first
        return
    to.parent.mkdir(exist_ok=True)
    shutil.rmtree(to, ignore_errors=True)
    path.rename(to)


def _reason(error: Exception) -> str:
    """The beginning of its message."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _is_want_of_room(error: BaseException | None) -> bool:
    """Whether the system refused for want of room, by its number or, where a library passed it on, by its words."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        words = ("No space left on device", "Disk quota exceeded", "File too large", "RESOURCE_EXHAUSTED")
        if any(word in str(error) for word in words):
            return True
        error = error.__cause__ or error.__context__
    return False


def _not_from_orbax(record: logging.LogRecord) -> bool:
    # It logs the traceback of a failed save in each of its threads; the error itself comes to `_survived`.
    return "orbax" not in record.pathname


def warn(message: str) -> None:
    """Tell the user, above the progress bar."""
    tqdm.write(f"warning: {message}", file=sys.stderr)
