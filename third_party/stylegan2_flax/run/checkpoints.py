"""Checkpoints of a train state, which is a named tuple. This is the only module that uses Orbax.

Each field of the state is a separate item of a checkpoint, so that a reader can load some of them: inference needs the
averaged parameters and the buffers, but not the optimizer state.

A checkpoint is complete or absent, since Orbax writes under a temporary name. Each one holds digests of its arrays. If
they show that it was damaged later, a warning names it, and the checkpoint before it is used.
"""

import errno
import logging
import math
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree, UInt
from orbax.checkpoint import v1 as ocp
from tqdm import tqdm

from stylegan2_flax import files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import parallel
from stylegan2_flax.run.trees import ShapeMismatchError, check_shapes, leaves_by_path

State = TypeVar("State", bound=tuple)
"""A NamedTuple of trees of arrays."""

_NO_DAMAGE = (ShapeMismatchError, PermissionError)  # a checkpoint that raises these is whole, and no other is tried
_PAUSE = 1.0  # seconds before a checkpoint that could not be read is read once more
_DIGESTS = "digests"
"""The item of a checkpoint that holds a digest of each other item."""


class Checkpoints:
    """The checkpoints of one run, written in the background. A context manager.

    Args:
        folder: holds one numbered folder for each checkpoint; created if it is missing.
        keep: number of latest checkpoints to keep.
    """

    def __init__(self, folder: AnyPath, keep: int):
        self._folder = folder
        self._keep = keep
        self._checkpointer = self._open(tidy=True)
        self._initial_step = self.latest_step
        self._saved = False  # whether this run has written a checkpoint

    def __enter__(self) -> "Checkpoints":
        logging.getLogger("absl").addFilter(_not_from_orbax)
        return self

    def __exit__(self, *exception: object) -> None:
        self.wait()
        self._checkpointer.close()
        logging.getLogger("absl").removeFilter(_not_from_orbax)

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, which may still be being written. None if there is none."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def restore(self, target: State) -> State | None:
        """Restore the newest checkpoint that is not damaged. Returns None if there is no checkpoint.

        Damaged checkpoints are moved into the folder `damaged` next to this one.

        Args:
            target: the state with a `jax.ShapeDtypeStruct` (shape, dtype and sharding) in place of each array.

        Raises:
            OSError: the disk has no space for the checkpoints of this run.
            ValueError: the checkpoints are of another model, or all of them are damaged.
        """
        self.wait()
        self._check_free_space(target)
        if self.latest_step is None:
            return None
        loaded = _load_newest(self._checkpointer, _fields(target))
        if loaded.damaged:
            with parallel.first_process_first("damaged"):
                for path in loaded.damaged:
                    _move(path, self._folder.with_name("damaged") / path.name)
            self._reopen()
            self._initial_step = self.latest_step
        return type(target)(**loaded.fields)

    def save(self, step: int, state: Any) -> None:
        """Save the state after `step` steps, unless it is saved already. Returns as soon as the state may be donated.

        If the disk is full, a warning is printed, now or at the next wait, and older checkpoints are kept. Other errors
        are warnings too once this run has written a checkpoint. With several processes, which do not know of each
        other's errors, every error is raised.

        Raises:
            OSError: the first checkpoint could not be written, and the disk is not full.
        """
        self.wait()
        if step != self.latest_step:
            with self._errors_as_warnings():
                fields = _fields(state)
                self._checkpointer.save_checkpointables_async(step, {**fields, _DIGESTS: _digests(fields)}, force=True)

    def wait(self) -> None:
        """Wait until the checkpoint that is being saved is on disk. Raises the same errors as `save`."""
        with self._errors_as_warnings():
            self._checkpointer.wait()
            self._saved = self._saved or self.latest_step not in (None, self._initial_step)

    def finish(self, step: int) -> None:
        """Wait, and check that the state after `step` steps is saved.

        Raises:
            OSError: it is not.
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
            files.absolute(self._folder),
            preservation_policy=ocp.training.preservation_policies.LatestN(self._keep),  # pyright: ignore[reportArgumentType]
            cleanup_tmp_directories=tidy,
        )

    def _reopen(self) -> None:
        """Read the list of checkpoints from the folder again."""
        with suppress(Exception):  # closing may raise the error of a failed save again
            self._checkpointer.close()
        self._checkpointer = self._open(tidy=False)

    @contextmanager
    def _errors_as_warnings(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax, TensorStore and the system have no common base class of errors
            if jax.process_count() > 1:
                raise
            if not self._saved and not files.is_disk_full(error, "RESOURCE_EXHAUSTED"):  # as TensorStore says
                raise OSError(errno.EIO, f"the first checkpoint could not be written: {_reason(error)}") from error
            for path in self._folder.glob("*.orbax-checkpoint-tmp"):
                files.remove_tree(path)  # leftovers are removed at the next start
            self._reopen()
            warn(
                f"a checkpoint could not be written ({_reason(error)}); the newest in {self._folder} is of step "
                f"{self.latest_step or 0}"
            )

    def _check_free_space(self, target: Any) -> None:
        if not isinstance(self._folder, Path):
            return  # a bucket has room
        size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(target))
        # While a checkpoint is written, those to be kept take space as well.
        missing = max(1, self._keep + 1 - len(self._checkpointer.checkpoints))
        free = shutil.disk_usage(self._folder).free
        if free < missing * size:
            raise OSError(
                errno.ENOSPC,
                f"{self._folder} has {free / 1e6:.0f} MB left, and {missing} more checkpoints of {size / 1e6:.0f} MB "
                "are to come: make room, or lower train.keep_checkpoints",
            )


def load(folder: AnyPath, target: dict[str, PyTree]) -> dict[str, PyTree]:
    """Load some fields of the newest checkpoint that is not damaged.

    Args:
        folder: the folder of checkpoints.
        target: for each field to load, its tree with a `jax.ShapeDtypeStruct` in place of each array.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: the checkpoint has other fields, names or shapes, or all checkpoints are damaged.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: no checkpoint was written there")
    with ocp.training.Checkpointer(files.absolute(folder)) as checkpointer:
        if checkpointer.latest is None:
            raise FileNotFoundError(f"{folder} holds no whole checkpoint")
        return _load_newest(checkpointer, target).fields


def _fields(state: Any) -> dict[str, PyTree]:
    return state._asdict()


class _Loaded(NamedTuple):
    fields: dict[str, PyTree]
    damaged: list[AnyPath]  # newer checkpoints that could not be read


def _load_newest(checkpointer: ocp.training.Checkpointer, target: dict[str, Any]) -> _Loaded:
    reasons: dict[AnyPath, str] = {}
    for checkpoint in reversed(checkpointer.checkpoints):
        path = files.as_path(checkpoint.path)
        try:
            fields = _load_patiently(checkpointer, checkpoint.step, path, target)
        except _NO_DAMAGE:
            raise
        except Exception as error:  # see _errors_as_warnings
            reasons[path] = _reason(error)
            continue
        for damaged, reason in reasons.items():
            warn(f"checkpoint {damaged} is damaged ({reason}); that of step {checkpoint.step} is used")
        return _Loaded(fields, list(reasons))
    raise ValueError(
        "no checkpoint can be read:\n" + "\n".join(f"  {path}: {reason}" for path, reason in reasons.items()) + "\n"
        "Delete their folder to start over."
    )


def _load_patiently(
    checkpointer: ocp.training.Checkpointer, step: int, path: AnyPath, target: dict[str, Any]
) -> dict[str, PyTree]:
    """`_load`, tried twice: what a network loses once is not damaged."""
    try:
        return _load(checkpointer, step, path, target)
    except _NO_DAMAGE:
        raise
    except Exception:  # see _errors_as_warnings
        time.sleep(_PAUSE)
        return _load(checkpointer, step, path, target)


def _load(
    checkpointer: ocp.training.Checkpointer, step: int, path: AnyPath, target: dict[str, Any]
) -> dict[str, PyTree]:
    """Raises ShapeMismatchError if the checkpoint is of another model, and any other error if it is damaged."""
    stored = checkpointer.checkpointables_metadata(step).metadata
    for field, tree in target.items():
        if stored.get(field) is None and jax.tree.leaves(tree):
            raise ValueError(f"it has no readable {field}")
    found = leaves_by_path({field: stored[field] for field in target})
    check_shapes(f"checkpoint {path}", found, leaves_by_path(target))
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
    """A checksum of each field, which does not depend on the devices that hold it."""
    return {field: _digest(tree) for field, tree in fields.items()}


def _digest(tree: PyTree) -> UInt[Array, ""]:
    """A weighted sum of the bits of all entries. The weights are odd, so every changed bit changes its term."""
    total = jnp.zeros((), jnp.uint32)
    for leaf in jax.tree.leaves(tree):
        width = 8 * leaf.dtype.itemsize
        bits = jax.lax.bitcast_convert_type(leaf, f"uint{width}").astype(jnp.uint32).reshape(-1)
        weights = jnp.uint32(0x9E3779B1) * (2 * jnp.arange(len(bits), dtype=jnp.uint32) + 1)
        total = total * jnp.uint32(0x85EBCA6B) + jnp.sum(bits * weights, dtype=jnp.uint32)
    return total


def _move(path: AnyPath, to: AnyPath) -> None:
    if not path.exists():  # another process was first
        return
    files.remove_tree(to)
    to.parent.mkdir(exist_ok=True, parents=True)
    path.rename(to)


def _reason(error: Exception) -> str:
    """The beginning of the error message, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _not_from_orbax(record: logging.LogRecord) -> bool:
    # Orbax logs the traceback of a failed save in each of its threads; `_errors_as_warnings` handles the error.
    return "orbax" not in record.pathname


def warn(message: str) -> None:
    """Print a warning on stderr, above the progress bar."""
    tqdm.write(f"warning: {message}", file=sys.stderr)
