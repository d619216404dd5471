"""What a run tells as it goes: metrics.jsonl, TensorBoard, a progress bar, and the first number that is not finite."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array, Float
from tqdm import tqdm

from stylegan2_flax.run import metrics


class NotFiniteError(FloatingPointError):
    """Metrics of a step are not finite.

    Attributes:
        step: the first such step.
        names: of the metrics.
    """

    def __init__(self, step: int, names: list[str]):
        super().__init__(f"step {step}: {', '.join(names)} is not finite, so training stops")
        self.step, self.names = step, names


class Recorder:
    """Takes the metrics of each step as they leave the devices' queue; only `look` waits for them. A context manager.

    Of several processes the first alone writes and shows.

    Args:
        workdir: of the run: holds metrics.jsonl, and tensorboard/ if that is asked for. What metrics.jsonl holds from
            beyond `start` is dropped, for those steps run again.
        start: steps made already; None if no run was begun, and all of metrics.jsonl is dropped.
        last: steps to make in all.
        shown: names of the metrics that the progress bar shows.
        tensorboard: whether to write for TensorBoard too.

    Raises:
        ImportError: TensorBoard is asked for, but tensorboardX is not installed.
    """

    def __init__(
        self, workdir: Path, start: int | None, last: int, shown: Sequence[str] = ("loss",), tensorboard: bool = False
    ):
        self._path, self._shown, self._writes = workdir / "metrics.jsonl", shown, jax.process_index() == 0
        self._pending: dict[int, dict[str, Float[Array, ""]]] = {}
        self._unwritten: list[tuple[int, dict[str, float]]] = []
        self.values: dict[str, float] = {}  # of the last step that was looked at
        check_board(tensorboard)
        self._board = _open_board(workdir / "tensorboard", start or 0) if tensorboard and self._writes else None
        if self._writes:
            metrics.rewind(self._path, -1 if start is None else start)
        # A log file gets a line now and then, a terminal a bar that moves.
        interval = 0.2 if sys.stderr.isatty() else 20
        self._bar = tqdm(total=last, initial=start or 0, unit="step", mininterval=interval, disable=not self._writes)
        self._bar.set_description("compiling", refresh=sys.stderr.isatty())

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exception: object) -> None:
        self._write()
        self._bar.close()
        if self._board is not None:
            self._board.close()

    def add(self, step: int, values: dict[str, Float[Array, ""]]) -> None:
        """Take the metrics of a step, which may not be there yet."""
        self._pending[step] = values
        self._bar.set_description(refresh=False)  # it is compiled
        self._bar.update()

    def look(self) -> None:
        """Wait for the metrics of all steps so far.

        Raises:
            NotFiniteError: some are not finite.
        """
        for step, fetched in jax.device_get(self._pending).items():
            self.values = {name: float(value) for name, value in fetched.items()}
            broken = [name for name, value in self.values.items() if not math.isfinite(value)]
            if broken:
                raise NotFiniteError(step, broken)
        self._pending.clear()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add a line. One for which there is no room waits for the next."""
        if not self._writes:
            return
        self._unwritten.append((step, values))
        self._write()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        shown = {name.split("/", 1)[-1]: f"{values[name]:.3f}" for name in self._shown if name in values}
        self._bar.set_postfix(shown, refresh=False)

    def _write(self) -> None:
        try:
            while self._unwritten:
                metrics.append(self._path, *self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            tqdm.write(f"warning: {len(self._unwritten)} lines could not be written ({error})", file=sys.stderr)


def check_board(wanted: bool) -> None:
    """Raise ImportError if TensorBoard is wanted, but tensorboardX is not installed."""
    if not wanted:
        return
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "train.tensorboard is set, but tensorboardX is not installed: pip install 'disentangle_jax[tensorboard]', "
            "or leave it off; metrics.jsonl is written in any case"
        ) from error


def _open_board(folder: Path, start: int) -> Any:
    """A tensorboardX.SummaryWriter that goes on after `start` steps."""
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder), purge_step=start + 1)
