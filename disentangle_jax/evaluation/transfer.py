"""Transfer between held-out pairs whose exact answers are known, and the scores of any method on them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.batching import in_batches
from disentangle_jax.domains import Domain, JudgedDomain
from disentangle_jax.evaluation.baselines import Method, layer_swap
from disentangle_jax.metrics import psnr, r2
from disentangle_jax.scorers import Factors, Named, appearance_names, split, structure_names

Render = Callable[[Float[Array, "n l d"]], Float[Array, "n h w c"]]

_RESAMPLES = 200


class TransferScores(NamedTuple):
    """The scores of one method.

    Attributes:
        structure: R^2 of each structure factor, as the judge reads it in the outputs, against the drivings'.
        appearance: R^2 of each appearance factor, likewise, against the sources'.
        structure_std: standard deviation of the mean of `structure` under resampling of the pairs.
        appearance_std: the same of `appearance`.
        by_truth: R^2 of each factor, as the truth of the output latents has it; None for the exact images, which have
            no latents.
        psnr: mean PSNR in dB of the outputs to the exact images; None for the exact images themselves.
        factors: names of the factors.
    """

    structure: Float[np.ndarray, "fs"]
    appearance: Float[np.ndarray, "fa"]
    structure_std: float
    appearance_std: float
    by_truth: Factors | None
    psnr: float | None
    factors: Named

    def mean(self) -> float:
        """The mean of the two mean R^2."""
        return float(self.structure.mean() + self.appearance.mean()) / 2

    def report(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        by_truth = {} if self.by_truth is None else self.by_truth._asdict()
        return {
            "structure_r2": float(self.structure.mean()),
            "structure_r2_std": self.structure_std,
            "appearance_r2": float(self.appearance.mean()),
            "appearance_r2_std": self.appearance_std,
            **{f"true_{kind}_r2": float(values.mean()) for kind, values in by_truth.items()},
            "mean_r2": self.mean(),
            "psnr": self.psnr,
            "structure_r2_per_factor": _by_name(structure_names(self.factors), self.structure),
            "appearance_r2_per_factor": _by_name(appearance_names(self.factors), self.appearance),
        }


class TransferTask:
    """Held-out pairs, and what a perfect transfer between them looks like.

    Args:
        domain: the truth, the judge and the renderer of exact images.
        render: the generator, ws [n, l, d] -> images [n, h, w, c].
        source_ws: the latents whose appearance an output should have.
        driving_ws: the latents whose structure it should have.
        batch_size: number of pairs whose images are in memory at a time.
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

    def run(self, method: Method) -> tuple[Float[np.ndarray, "n l d"], TransferScores]:
        """Transfer all pairs by a method: its output latents and their scores."""

        def judge(ws: Float[Array, "b l d"], exact: Float[Array, "b h w c"]) -> tuple[Factors, Float[Array, "b"]]:
            images = self.render(ws)
            return self.domain.read(images), psnr(images, exact)

        output_ws = in_batches(method, self.batch_size, self.source_ws, self.driving_ws)
        readings, decibels = in_batches(judge, self.batch_size, output_ws, self.exact)
        return output_ws, self._score(
            readings, float(decibels.mean()), _r2(self.domain.truth(jnp.asarray(output_ws)), self.answer)
        )

    def ceiling(self) -> TransferScores:
        """The scores of the exact images, which fall short of 1 only by the judge's own error."""
        return self._score(in_batches(self.domain.read, self.batch_size, self.exact), None, None)

    def generator_psnr(self) -> float:
        """Mean PSNR in dB of the generator's images of the sources to the exact ones, which limits any transfer."""

        def reconstruct(ws: Float[Array, "b l d"]) -> Float[Array, "b"]:
            return psnr(self.render(ws), self.domain.draw(self.domain.truth(ws)))

        return float(in_batches(reconstruct, self.batch_size, self.source_ws).mean())

    def _score(self, readings: Factors, decibels: float | None, by_truth: Factors | None) -> TransferScores:
        by_judge = _r2(readings, self.answer)
        return TransferScores(
            structure=np.asarray(by_judge.structure),
            appearance=np.asarray(by_judge.appearance),
            structure_std=_bootstrap_std(readings.structure, self.answer.structure),
            appearance_std=_bootstrap_std(readings.appearance, self.answer.appearance),
            by_truth=by_truth,
            psnr=decibels,
            factors=self.domain.domain,
        )


def score_by_truth(
    domain: Domain, method: Method, source_ws: Float[Array, "n l d"], driving_ws: Float[Array, "n l d"], batch_size: int
) -> dict[str, float]:
    """Mean R^2 of the structure and of the appearance that the outputs of a method stand for. Nothing is drawn."""
    moved = split(domain.truth(jnp.asarray(in_batches(method, batch_size, source_ws, driving_ws))), domain)
    structure = split(domain.truth(driving_ws), domain).structure
    appearance = split(domain.truth(source_ws), domain).appearance
    return {
        "structure": float(r2(moved.structure, structure).mean()),
        "appearance": float(r2(moved.appearance, appearance).mean()),
    }


def best_split(task: TransferTask, num_ws: int) -> int:
    """The layer split whose swap has the highest mean R^2. Report its scores on other pairs than it is chosen on."""
    means = [task.run(layer_swap(split))[1].mean() for split in range(1, num_ws)]
    return 1 + int(np.argmax(means))


def jitter_ratio(output_ws: Float[np.ndarray, "n t l d"], driving_ws: Float[np.ndarray, "n t l d"]) -> float:
    """Roughness of output clips relative to that of the clips that drove them.

    The roughness of a clip is the mean of ||x[t+1] - 2 x[t] + x[t-1]||. A ratio of 1 means as smooth as the driving
    clip; above 1 the output trembles, below 1 its motion is damped.

    Raises:
        ValueError: the clips have fewer than 3 frames.
    """
    if output_ws.shape[1] < 3:
        raise ValueError(f"jitter needs clips of at least 3 frames; these have {output_ws.shape[1]}")
    return _roughness(output_ws) / _roughness(driving_ws)


def _roughness(ws: Float[np.ndarray, "n t l d"]) -> float:
    return float(np.linalg.norm(np.diff(ws, n=2, axis=1), axis=(2, 3)).mean())


def _r2(factors: Factors, answer: Factors) -> Factors:
    """R^2 of each factor."""
    return Factors(r2(factors.appearance, answer.appearance), r2(factors.structure, answer.structure))


def _bootstrap_std(readings: Float[Array | np.ndarray, "n f"], truth: Float[Array | np.ndarray, "n f"]) -> float:
    """Standard deviation of the mean R^2 when the pairs are drawn again with replacement (bootstrap).

    Draws of few pairs may hold one alone, of which there is no R^2: they are left out.
    """
    readings, truth = np.asarray(readings), np.asarray(truth)
    samples = np.random.default_rng(0).integers(len(readings), size=(_RESAMPLES, len(readings)))
    varied = samples[np.ptp(truth[samples], axis=1).min(axis=1) > 0]
    drawn, answers = (np.moveaxis(x[varied], 0, 1).reshape(len(x), -1) for x in (readings, truth))  # as more factors
    return float(np.std(r2(drawn, answers).reshape(len(varied), -1).mean(axis=1)))


def _by_name(names: tuple[str, ...], values: Float[np.ndarray, "f"]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
