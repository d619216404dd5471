"""Reproduction of a step whose loss is not finite: a workdir that holds the state before that step."""

from collections.abc import Callable
from typing import Any

import jax
from tqdm import tqdm

from stylegan2_flax import files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import parallel
from stylegan2_flax.run.checkpoints import Checkpoints

FOLDER = "nan"


def write_reproduction(
    workdir: AnyPath, step: int, restore: Callable[[], Any], advance: Callable[[Any, int], Any]
) -> str:
    """Save the state before `step` in workdir/nan, with the config. Returns instructions for the user.

    A step depends only on its state and its number, so the state is computed again from the last checkpoint.

    Args:
        workdir: of the run.
        step: the number of the failed step, from 1.
        restore: returns the state of the last checkpoint, or the initial state.
        advance: makes a step; see `run.loop.Trainer`.
    """
    state, folder = restore(), workdir / FOLDER
    if int(state.step) == step - 1:
        return "The same command meets it again at once: the newest checkpoint is of the step before."
    for number in tqdm(range(int(state.step) + 1, step), desc="computing the state before it again", unit="step"):
        state, _ = advance(state, number)
    with parallel.first_process_first("nan"):
        if jax.process_index() == 0:
            _prepare(workdir, folder)
    with Checkpoints(folder / "checkpoints", keep=1) as checkpoints:
        checkpoints.save(step - 1, state)
        checkpoints.finish(step - 1)
    return f"The same command with --workdir={folder} meets it again at once: the state of the step before lies there."


def _prepare(workdir: AnyPath, folder: AnyPath) -> None:
    files.remove_tree(folder)
    for path in workdir.iterdir():
        if path.suffix in (".json", ".safetensors"):  # the config and the directions, not the metrics
            files.write_bytes(folder / path.name, path.read_bytes())
