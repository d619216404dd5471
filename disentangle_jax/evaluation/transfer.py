"""The transfer exam: held-out pairs with their exact answers, and marks for any method that takes it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.domains import JudgedDomain
from disentangle_jax.evaluation.baselines import Method, layer_swap
from disentangle_jax.scorers import Factors, Named, appearance_names, structure_names
from disentangle_jax.scores import in_batches, psnr, r2

Render = Callable[[Float[Array, "n l d"]], Float[Array, "n h w c"]]

_RESAMPLES = 200


class Marks(NamedTuple):
    """What one method got.

    Attributes:
        structure: R^2 of each structure factor of the driving, as the judge reads it in the output.
        appearance: R^2 of each appearance factor of the source, likewise.
        structure_std, appearance_std: standard deviation of the two means under resampling of the pairs.
        psnr: mean over pairs, in dB, of the output against the exact picture; None for that picture itself.
        of: the names of the factors.
    """

    structure: Float[np.ndarray, "fs"]
    appearance: Float[np.ndarray, "fa"]
    structure_std: float
    appearance_std: float
    psnr: float | None
    of: Named

    def mean(self) -> float:
        """Both halves of the task in one number: the mean of the two mean R^2."""
        return float(self.structure.mean() + self.appearance.mean()) / 2

    def report(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "structure_r2": float(self.structure.mean()),
            "structure_r2_std": self.structure_std,
            "appearance_r2": float(self.appearance.mean()),
            "appearance_r2_std": self.appearance_std,
            "mean_r2": self.mean(),
            "psnr": self.psnr,
            "structure_r2_per_factor": _by_name(structure_names(self.of), self.structure),
            "appearance_r2_per_factor": _by_name(appearance_names(self.of), self.appearance),
        }


class Exam:
    """Pairs of held-out faces and what a perfect transfer between them looks like.

    Args:
        domain: the truth, the judge and the renderer of exact pictures.
        render: the generator, ws [n, l, d] -> images [n, h, w, c].
        source_ws: whose appearance the outcome shall have.
        driving_ws: whose structure it shall have.
        batch_size: pairs in memory at a time while pictures are made and read.
    """

    def __init__(
        self,
        domain: JudgedDomain,
        render: Render,
        source_ws: Float[Array, "n l d"],
        driving_ws: Float[Array, "n l d"],
        batch_size: int,
    ):
        self.domain, self.render, self.batch_size = domain, render, batch_size
        self.source_ws, self.driving_ws = source_ws, driving_ws
        self.answer = domain.answer(source_ws, driving_ws)
        self.exact = in_batches(lambda *factors: domain.draw(Factors(*factors)), batch_size, *self.answer)

    def take(self, method: Method) -> tuple[Float[np.ndarray, "n l d"], Marks]:
        """Let a method transfer all pairs; give its outputs and its marks."""

        def grade(ws: Float[Array, "b l d"], exact: Float[Array, "b h w c"]) -> tuple[Factors, Float[Array, "b"]]:
            images = self.render(ws)
            return self.domain.read(images), psnr(images, exact)

        output_ws = in_batches(method, self.batch_size, self.source_ws, self.driving_ws)
        read, decibels = in_batches(grade, self.batch_size, output_ws, self.exact)
        return output_ws, self._mark(read, float(decibels.mean()))

    def ceiling(self) -> Marks:
        """The marks of the exact pictures themselves: short of 1 only by what the judge misreads."""
        return self._mark(in_batches(self.domain.read, self.batch_size, self.exact), None)

    def generator_psnr(self) -> float:
        """PSNR in dB of the generator's own pictures of the sources to the exact ones: hardly a transfer can beat
        it.
        """

        def own(ws: Float[Array, "b l d"]) -> Float[Array, "b"]:
            return psnr(self.render(ws), self.domain.draw(self.domain.truth(ws)))

        return float(in_batches(own, self.batch_size, self.source_ws).mean())

    def _mark(self, read: Factors, decibels: float | None) -> Marks:
        structure = np.asarray(read.structure), np.asarray(self.answer.structure)
        appearance = np.asarray(read.appearance), np.asarray(self.answer.appearance)
        return Marks(
            r2(*structure), r2(*appearance), _spread(*structure), _spread(*appearance), decibels, self.domain.domain
        )


def best_split(exam: Exam, num_ws: int) -> int:
    """The layer split whose swaps get the highest mean marks. Choose it on other pairs than those it is reported on."""
    means = [exam.take(layer_swap(split))[1].mean() for split in range(1, num_ws)]
    return 1 + int(np.argmax(means))


def jitter_ratio(output_ws: Float[np.ndarray, "n t l d"], driving_ws: Float[np.ndarray, "n t l d"]) -> float:
    """How restless an output clip is beside the clip that drove it; 1 is as smooth, above 1 trembles, below 1 is
    damped.

    mean ||x[t+1] - 2 x[t] + x[t-1]|| of the outputs over that of the drivings.
    """
    if output_ws.shape[1] < 3:
        raise ValueError(f"jitter needs clips of at least 3 frames; these have {output_ws.shape[1]}")
    roughness = [np.linalg.norm(np.diff(ws, n=2, axis=1), axis=(2, 3)).mean() for ws in (output_ws, driving_ws)]
    return float(roughness[0] / roughness[1])


def _spread(read: Float[np.ndarray, "n f"], answer: Float[np.ndarray, "n f"]) -> float:
    """Standard deviation of the mean R^2 when the pairs are drawn again with replacement (bootstrap)."""
    rows = np.random.default_rng(0).integers(len(read), size=(_RESAMPLES, len(read)))
    return float(np.std([r2(read[r], answer[r]).mean() for r in rows]))


def _by_name(names: tuple[str, ...], values: Float[np.ndarray, "f"]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
