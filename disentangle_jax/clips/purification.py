"""Purification: corrects clips until a scorer reads one appearance in all frames, and one structure in both versions.

Linear directions change appearance too, because the direction that changes a single factor differs from face to face.
A scorer measures this in the rendered frames, and a few steps of nonlinear least squares undo it.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches
from disentangle_jax.clips.clip import Clip
from disentangle_jax.directions.directions import Directions
from disentangle_jax.scorers import Named, Scorer, structure_columns

_BATCH = 8  # faces that are drawn at a time to calibrate


@runtime_checkable
class LatentScorer(Named, Protocol):
    """Reads factors out of latents. A callable pytree, as a `Scorer` is."""

    def __call__(self, ws: Float[Array, "n l d"]) -> Float[Array, "n f"]:
        """The factors that the latents' images show."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RenderedScorer:
    """A scorer's readings of latents, by way of the generator's images; a pytree."""

    synthesis: sg2.SynthesisNetwork
    scorer: Scorer

    @property
    def names(self) -> tuple[str, ...]:
        return self.scorer.names

    @property
    def structure(self) -> tuple[str, ...]:
        return self.scorer.structure

    def __call__(self, ws: Float[Array, "n l d"]) -> Float[Array, "n f"]:
        return self.scorer(self.synthesis(ws, noise_mode="const"))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Purifier:
    """Moves the frames of clips until a reader finds in them what it should.

    With f the factors read in a frame, in standard deviations of the population, and V one direction for each factor,
    it minimises |f(ws + x V) - goal|^2 over x [k], starting at 0. The goals require the least change:

        frame            appearance: the mean over the clip's frames; structure: the mean over the frame's two looks
        augmented frame  appearance: its own;                         structure: the same

    Each step is a Levenberg step, x - (J^T J + damping I)^-1 J^T (f - goal), accepted where the residual decreases. The
    generator is not differentiated: J starts as I, the average effect of the directions, and is updated after each
    step, accepted or not, by Broyden's rank-one formula (Broyden 1965). A step therefore renders each frame once, while
    the exact Jacobian costs about as much as 20 renderings.

    Attributes:
        read: a pytree, as `RenderedScorer` is.
        vectors: V; along vector i a face moves by one standard deviation of factor i.
        spread: standard deviation of the readings over faces.
        steps: number of steps.
        damping: shortens the steps where the readings hardly change along the directions.
    """

    read: LatentScorer
    vectors: Float[Array, "k l d"]
    spread: Float[Array, "k"]
    steps: int = field(metadata={"static": True})
    damping: float = field(metadata={"static": True})

    @classmethod
    def create(
        cls, read: LatentScorer, directions: Directions, ws: Float[Array, "n l d"], steps: int, damping: float
    ) -> "Purifier":
        """A purifier along these directions, calibrated to the faces ws. There is one direction per factor.

        Raises:
            ValueError: steps or damping are not positive, or there is not one direction for each factor.
        """
        if steps < 1 or damping <= 0.0:
            raise ValueError(f"purifying takes steps and a damping above 0; got {steps} and {damping}")
        readings = in_batches(partial(jax.jit(lambda read, ws: read(ws)), read), min(_BATCH, len(ws)), ws)
        spread = jnp.std(jnp.asarray(readings), axis=0)
        if directions.names != read.names:
            raise ValueError(
                f"there are {len(directions.names)} directions for {len(read.names)} factors that are read: purifying "
                f"takes one for each, in this order: {', '.join(read.names)}"
            )
        return cls(read, directions.vectors, spread, steps, damping)

    def __call__(self, clips: Clip) -> Clip:
        """The clips [b, t, ...], purified. Their coefficients are kept.

        Clips are independent of each other, so batches may have any size.
        """
        views = jnp.stack([clips.ws, clips.augmented], axis=1)
        shape = views.shape[:3]
        ws = views.reshape(-1, *views.shape[3:])
        readings = self.read(ws)
        goals = self._goals(readings.reshape(*shape, -1)).reshape(readings.shape)
        views = self._approach(ws, readings, goals).reshape(views.shape)
        return clips._replace(ws=views[:, 0], augmented=views[:, 1])

    def _goals(self, readings: Float[Array, "b 2 t k"]) -> Float[Array, "b 2 t k"]:
        frames, augmented = readings[:, 0], readings[:, 1]
        still = jnp.broadcast_to(frames.mean(axis=1, keepdims=True), frames.shape)
        appearance = jnp.stack([still, augmented], axis=1)
        structure = jnp.broadcast_to(readings.mean(axis=1, keepdims=True), readings.shape)
        return jnp.where(structure_columns(self.read)[None, None, None], structure, appearance)

    def _approach(
        self, ws: Float[Array, "n l d"], readings: Float[Array, "n k"], goals: Float[Array, "n k"]
    ) -> Float[Array, "n l d"]:
        k = goals.shape[1]
        x = jnp.zeros_like(goals)
        missing = (readings - goals) / self.spread[None]
        slope = jnp.broadcast_to(jnp.eye(k), (len(ws), k, k))
        for _ in range(self.steps):  # no loop of XLA's: within one, convolutions on a CPU are many times slower
            step = _levenberg(slope, missing, self.damping)
            tried = (self.read(self._moved(ws, x + step)) - goals) / self.spread[None]
            slope = _broyden(slope, step, tried - missing)
            nearer = jnp.sum(tried**2, axis=1, keepdims=True) < jnp.sum(missing**2, axis=1, keepdims=True)
            x, missing = jnp.where(nearer, x + step, x), jnp.where(nearer, tried, missing)
        return self._moved(ws, x)

    def _moved(self, ws: Float[Array, "n l d"], x: Float[Array, "n k"]) -> Float[Array, "n l d"]:
        return ws + jnp.einsum("nk,kld->nld", x, self.vectors)


def _levenberg(slope: Float[Array, "n k k"], missing: Float[Array, "n k"], damping: float) -> Float[Array, "n k"]:
    """-(J^T J + damping I)^-1 J^T missing."""
    gram = jnp.einsum("nij,nik->njk", slope, slope) + damping * jnp.eye(slope.shape[-1])[None]
    pull = jnp.einsum("nij,ni->nj", slope, missing)
    return -jnp.linalg.solve(gram, pull[..., None])[..., 0]


def _broyden(
    slope: Float[Array, "n k k"], step: Float[Array, "n k"], change: Float[Array, "n k"]
) -> Float[Array, "n k k"]:
    """The nearest slope under which the step makes the change: J + (change - J step) step^T / |step|^2."""
    surprise = change - jnp.einsum("nij,nj->ni", slope, step)
    size = jnp.maximum(jnp.sum(step**2, axis=1), jnp.finfo(step.dtype).tiny)
    return slope + jnp.einsum("ni,nj->nij", surprise, step / size[:, None])
