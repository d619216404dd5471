"""Checkpoints of a train state, which is a named tuple: the only file that knows Orbax.

Each field of the state is an item of its own in a checkpoint, so that a reader takes what it needs: a user of the model
wants the averaged parameters and the buffers, not the optimiser's memory.
"""

from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from stylegan2_flax.training.arrays import check_shapes, named

State = TypeVar("State", bound=Any)
"""A NamedTuple of trees of arrays."""


class Checkpoints:
    """The checkpoints of one run, written in the background while training goes on; a context manager.

    Args:
        folder: where they lie, one numbered folder each; made if missing.
        keep: how many of the latest to keep.
    """

    def __init__(self, folder: Path, keep: int):
        self._checkpointer = ocp.training.Checkpointer(
            str(folder.absolute()),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),  # pyright: ignore[reportArgumentType]
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._checkpointer.close()

    @property
    def latest_step(self) -> int | None:
        """Step of the newest whole checkpoint."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, step: int, state: Any) -> None:
        """Save the state after `step` steps, unless it is there. Returns as soon as the state may be donated."""
        if step != self.latest_step:
            self._checkpointer.save_checkpointables_async(step, state._asdict(), force=True)

    def restore(self, target: State) -> State:
        """The newest checkpoint, with the shapes, dtypes and shardings of `target` (jax.ShapeDtypeStruct)."""
        return type(target)(**_load(self._checkpointer, target._asdict()))


def load(folder: Path, target: dict[str, PyTree]) -> dict[str, PyTree]:
    """Read the fields of the newest checkpoint in `folder` that `target` holds: {field: jax.ShapeDtypeStruct tree}.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: it holds other fields, names or shapes.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: no checkpoint was written there")
    with ocp.training.Checkpointer(str(folder.absolute())) as checkpointer:
        if checkpointer.latest is None:
            raise FileNotFoundError(f"{folder} holds no whole checkpoint")
        return _load(checkpointer, target)


def _load(checkpointer: ocp.training.Checkpointer, target: dict[str, Any]) -> dict[str, Any]:
    latest = checkpointer.latest
    assert latest is not None
    stored = checkpointer.checkpointables_metadata(latest.step).metadata
    for field, tree in target.items():
        if field not in stored:
            raise ValueError(f"checkpoint {latest.path} has no {field}: it was not written by this training loop")
        check_shapes(f"checkpoint {latest.path}", named({field: stored[field]}), named({field: tree}))
    return checkpointer.load_checkpointables(latest.step, target)
