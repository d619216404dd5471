"""What a run leaves behind that broke: a workdir of its own, in which the next step is the one that broke."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run.checkpoints import Checkpoints

FOLDER = "nan"


def leave_reproduction(workdir: Path, step: int, restore: Callable[[], Any], advance: Callable[[Any, int], Any]) -> str:
    """Write the state before `step` into workdir/nan, beside the config, and say what to do with it.

    A step depends on its state and its number alone, so the state is made anew from the last checkpoint.

    Args:
        workdir: of the run.
        step: the one that broke, from 1.
        restore: gives the run's last checkpoint, or its start.
        advance: makes a step.
    """
    state, folder = restore(), workdir / FOLDER
    if int(state.step) == step - 1:
        return "The same command meets it again at once: the newest checkpoint is of the step before."
    for number in tqdm(range(int(state.step) + 1, step), desc="making the state before it anew", unit="step"):
        state, _ = advance(state, number)
    with parallel.first_process_first("nan"):
        if jax.process_index() == 0:
            _prepare(workdir, folder)
    with Checkpoints(folder / "checkpoints", keep=1) as checkpoints:
        checkpoints.save(step - 1, state)
        checkpoints.finish(step - 1)
    return f"The same command with --workdir={folder} meets it again at once: the state of the step before lies there."


def _prepare(workdir: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in workdir.iterdir():
        if path.suffix in (".json", ".safetensors"):  # the config and the directions, not the metrics
            shutil.copy(path, folder)
