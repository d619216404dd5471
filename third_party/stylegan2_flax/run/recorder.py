"""What a run tells as it goes: metrics.jsonl, the progress bar, and the first number that is not finite."""

import math
import sys
from pathlib import Path

import jax
from jaxtyping import Array, Float
from tqdm import tqdm

from stylegan2_flax.run import metrics

SHOWN = ("loss", "swap", "appearance_contrast", "structure_contrast")


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
        path: metrics.jsonl; what it holds from beyond `start` is dropped, for those steps run again.
        start, last: steps made already, and to make in all.
    """

    def __init__(self, path: Path, start: int, last: int):
        self._path, self._writes = path, jax.process_index() == 0
        self._pending: dict[int, dict[str, Float[Array, ""]]] = {}
        self._values: dict[str, float] = {}
        self._unwritten: list[tuple[int, dict[str, float]]] = []
        if self._writes:
            metrics.rewind(path, start)
        # A log file gets a line now and then, a terminal a bar that moves.
        interval = 0.2 if sys.stderr.isatty() else 20
        self._bar = tqdm(total=last, initial=start, unit="step", mininterval=interval, disable=not self._writes)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exception: object) -> None:
        self._write()
        self._bar.close()

    def add(self, step: int, values: dict[str, Float[Array, ""]]) -> None:
        """Take the metrics of a step, which may not be there yet."""
        self._pending[step] = values
        self._bar.update()

    def look(self) -> None:
        """Wait for the metrics of all steps so far.

        Raises:
            NotFiniteError: some are not finite.
        """
        for step, fetched in jax.device_get(self._pending).items():
            self._values = {name: float(value) for name, value in fetched.items()}
            broken = [name for name, value in self._values.items() if not math.isfinite(value)]
            if broken:
                raise NotFiniteError(step, broken)
        self._pending.clear()

    def write(self, step: int) -> None:
        """Add the line of a step that was just looked at. A line for which there is no room waits for the next."""
        if self._writes:
            self._unwritten.append((step, self._values))
            self._write()
            self._bar.set_postfix({name: f"{self._values[name]:.3f}" for name in SHOWN}, refresh=False)

    def _write(self) -> None:
        try:
            while self._unwritten:
                metrics.append(self._path, *self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            tqdm.write(f"warning: {len(self._unwritten)} lines could not be written ({error})", file=sys.stderr)
