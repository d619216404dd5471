"""Held-out clips: faces made to move by something other than the model under test.

Where a truth exists they move by it: nothing but structure changes, and it takes the values asked for, as nearly as a
latent can. Of other generators only the directions are known, and faces move along those.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from disentangle_jax.directions import Directions
from disentangle_jax.faces import STRUCTURE, Factors
from disentangle_jax.faces.truth import Truth
from disentangle_jax.scores import in_batches

_STEPS = 6  # of Gauss-Newton, which is at rounding error by then
_STRIDES = np.array([1.0, 0.5, 0.2, 0.05], np.float32)  # the best is taken: far from the goal a full step overshoots
_BATCH = 64
_RESTRAINT = 1e-2  # c
_SATURATED = 1.0 - 1e-6  # in single precision the inverse of the error function is lost beyond


class Puppeteer(NamedTuple):
    """Moves a face.

    Attributes:
        names: of the coordinates of a motion.
        amplitude: how far a motion goes to either side, in the units of its coordinates.
        pose: (ws [l, d], motion [k]) -> ws [l, d] with the structure that the motion asks for.
    """

    names: tuple[str, ...]
    amplitude: float
    pose: Callable[[Float[Array, "l d"], Float[Array, "k"]], Float[Array, "l d"]]

    def clips(self, ws: Float[Array, "n l d"], motion: Float[Array, "n t k"]) -> Float[Array, "n t l d"]:
        """Move each face through its own motion, given in [-1, 1]."""
        n, t, k = motion.shape
        flat_ws, flat_motion = ws.repeat(t, axis=0), self.amplitude * motion.reshape(n * t, k)
        return jnp.asarray(in_batches(partial(_pose, self.pose), _BATCH, flat_ws, flat_motion)).reshape(
            n, t, *ws.shape[1:]
        )


def truth_puppeteer(truth: Truth) -> Puppeteer:
    """Moves structure factors and nothing else."""
    return Puppeteer(STRUCTURE, 0.8, partial(pose_by_truth, truth))


def direction_puppeteer(directions: Directions) -> Puppeteer:
    """Pulls along directions, as far as most faces reach."""
    return Puppeteer(directions.names, 1.7, directions.move)


def pose_by_truth(truth: Truth, ws: Float[Array, "l d"], structure: Float[Array, "k"]) -> Float[Array, "l d"]:
    """Give a face another structure and change nothing else about it, by the smallest change of its latent.

    All layers change alike, so that a latent of W stays in W: the face moves as the generator's population does. With v
    the change in whitened coordinates and m(v) what is missing of the wanted factors, before their error function,
    Gauss-Newton minimises |m(v)|^2 + c |v|^2 from v = 0. The small c keeps latents from running off where none stands
    for the wanted face; there the result comes as near as is sensible.
    """
    unwhiten = jnp.linalg.inv(truth.whiten)
    wanted = _linear(Factors(truth(ws).appearance, structure))

    def shifted(v: Float[Array, "d"]) -> Float[Array, "l d"]:
        return ws + (unwhiten @ v)[None]

    def missing(v: Float[Array, "d"]) -> Float[Array, "f"]:
        return wanted - _linear(truth(shifted(v)))

    def step(v: Float[Array, "d"], _: None) -> tuple[Float[Array, "d"], None]:
        slope = jax.jacrev(missing)(v)
        gram = slope @ slope.T + _RESTRAINT * jnp.eye(len(wanted))
        goal = -slope.T @ jnp.linalg.solve(gram, missing(v) - slope @ v)
        strides = v[None] + _STRIDES[:, None] * (goal - v)[None]
        costs = jax.vmap(lambda v: jnp.sum(missing(v) ** 2) + _RESTRAINT * jnp.sum(v**2))(strides)
        return strides[jnp.argmin(costs)], None

    start = jnp.zeros(ws.shape[1])
    return shifted(jax.lax.scan(step, start, length=_STEPS)[0])


def loops(key: Key[Array, ""], num_frames: int, num_coordinates: int) -> Float[Array, "t k"]:
    """A smooth motion that ends where it began: each coordinate a sine of one or two whole cycles and a phase of its
    own.
    """
    cycles_key, phase_key, height_key = jax.random.split(key, 3)
    cycles = jax.random.randint(cycles_key, (1, num_coordinates), 1, 3).astype(jnp.float32)
    phase = jax.random.uniform(phase_key, (1, num_coordinates), maxval=2 * np.pi)
    height = jax.random.uniform(height_key, (1, num_coordinates), minval=0.6)
    time = jnp.arange(num_frames, dtype=jnp.float32)[:, None] / num_frames
    return height * jnp.sin(2 * np.pi * cycles * time + phase)


def _linear(factors: Factors) -> Float[Array, "f"]:
    """Factors before their error function, where they are nearly linear in a latent."""
    return jax.lax.erf_inv(jnp.clip(factors.stack(), -_SATURATED, _SATURATED))


@partial(jax.jit, static_argnums=0)
def _pose(pose, ws: Float[Array, "b l d"], motion: Float[Array, "b k"]) -> Float[Array, "b l d"]:
    return jax.vmap(pose)(ws, motion)
