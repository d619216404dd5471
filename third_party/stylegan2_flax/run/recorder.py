"""Recording of metrics: metrics.jsonl, TensorBoard, a progress bar, and a check that all of them are finite."""

import math
import sys
from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import Array, Float
from tqdm import tqdm

from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import metrics_log


class NotFiniteError(FloatingPointError):
    """Metrics of a step are not finite.

    Attributes:
        step: the first such step.
        names: the names of these metrics.
    """

    def __init__(self, step: int, names: list[str]):
        super().__init__(f"step {step}: {', '.join(names)} is not finite, so training stops")
        self.step, self.names = step, names


class Recorder:
    """Collects the metrics of each step without waiting for the devices; only `fetch` waits. A context manager.

    With several processes only process 0 writes files and shows the progress bar.

    Args:
        workdir: where metrics.jsonl and, if enabled, tensorboard/ are written. Lines of metrics.jsonl after step
            `start` are removed, since those steps run again.
        start: number of steps already made; None for a new run, which removes all lines.
        last: total number of steps.
        progress_metrics: names of the metrics to show in the progress bar.
        tensorboard: whether to write TensorBoard files too.

    Raises:
        ImportError: `tensorboard` is set, but tensorboardX is not installed.
    """

    def __init__(
        self,
        workdir: AnyPath,
        start: int | None,
        last: int,
        progress_metrics: Sequence[str] = ("loss",),
        tensorboard: bool = False,
    ):
        self._progress_metrics = progress_metrics
        self._writes = jax.process_index() == 0
        self._pending: dict[int, dict[str, Float[Array, ""]]] = {}
        self._unwritten: list[tuple[int, dict[str, float]]] = []
        self.values: dict[str, float] = {}  # of the last step that was fetched
        check_tensorboard(tensorboard)
        self._tensorboard = (
            _open_tensorboard(workdir / "tensorboard", start or 0) if tensorboard and self._writes else None
        )
        self._log = metrics_log.Log(workdir / "metrics.jsonl", -1 if start is None else start) if self._writes else None
        # Update a terminal often, and a log file rarely.
        interval = 0.2 if sys.stderr.isatty() else 20
        self._bar = tqdm(total=last, initial=start or 0, unit="step", mininterval=interval, disable=not self._writes)
        self._bar.set_description("compiling", refresh=sys.stderr.isatty())

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exception: object) -> None:
        self._write()
        self.flush()
        self._bar.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def add(self, step: int, values: dict[str, Float[Array, ""]]) -> None:
        """Add the metrics of a step, which may not be computed yet."""
        self._pending[step] = values
        self._bar.set_description(refresh=False)  # compilation is done
        self._bar.update()

    def fetch(self) -> None:
        """Wait for the metrics of all steps so far, and check them.

        Raises:
            NotFiniteError: some are not finite.
        """
        for step, fetched in jax.device_get(self._pending).items():
            self.values = {name: float(value) for name, value in fetched.items()}
            not_finite = [name for name, value in self.values.items() if not math.isfinite(value)]
            if not_finite:
                raise NotFiniteError(step, not_finite)
        self._pending.clear()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write a line of the log. If the disk is full, the line is kept and written with the next one."""
        if not self._writes:
            return
        self._unwritten.append((step, values))
        self._write()
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
        postfix = {name.split("/", 1)[-1]: f"{values[name]:.3f}" for name in self._progress_metrics if name in values}
        self._bar.set_postfix(postfix, refresh=False)

    def flush(self) -> None:
        """Upload lines that a log in a bucket has not uploaded yet."""
        if self._log is not None:
            try:
                self._log.flush()
            except OSError as error:
                tqdm.write(f"warning: the last lines could not be written ({error})", file=sys.stderr)

    def _write(self) -> None:
        if self._log is None:
            return
        try:
            while self._unwritten:
                self._log.append(*self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            tqdm.write(f"warning: {len(self._unwritten)} lines could not be written ({error})", file=sys.stderr)


def check_tensorboard(enabled: bool) -> None:
    """Raise ImportError if TensorBoard is enabled, but tensorboardX is not installed."""
    if not enabled:
        return
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "train.tensorboard is set, but tensorboardX is not installed: pip install 'disentangle_jax[tensorboard]', "
            "or leave it off; metrics.jsonl is written in any case"
        ) from error


def _open_tensorboard(folder: AnyPath, start: int) -> Any:
    """A tensorboardX.SummaryWriter that continues after `start` steps."""
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder), purge_step=start + 1)
