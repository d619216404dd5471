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
from ml_collections import ConfigDict

from disentangle_jax.directions import Directions
from disentangle_jax.domains import Domain, search
from disentangle_jax.scorers import structure_names
from disentangle_jax.scores import in_batches

_BATCH = 64


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


def puppeteer_of(domain: Domain | None, directions: Directions, motion: ConfigDict) -> Puppeteer:
    """By the truth where there is one, else by the directions; `motion` is `config.evaluation.motion`."""
    if domain is None:
        return direction_puppeteer(directions, motion.direction_amplitude)
    return truth_puppeteer(domain, motion.factor_amplitude)


def truth_puppeteer(domain: Domain, amplitude: float) -> Puppeteer:
    """Moves structure factors, which lie in [-1, 1], and nothing else."""
    return Puppeteer(structure_names(domain), amplitude, domain.pose)


def layer_puppeteer(domain: Domain, basis: Float[Array, "d d"], amplitude: float) -> Puppeteer:
    """Moves structure factors and nothing else, each layer by the least that does it.

    The layers that show a factor leave the others behind, which no move within W does. `basis` is that of
    `domains.search`.
    """
    rows = np.flatnonzero([name in domain.structure for name in domain.names])

    def pose(ws: Float[Array, "l d"], structure: Float[Array, "k"]) -> Float[Array, "l d"]:
        return search(domain.truth, ws, domain.truth(ws).at[rows].set(structure), basis, alike=False)

    return Puppeteer(structure_names(domain), amplitude, pose)


def direction_puppeteer(directions: Directions, amplitude: float) -> Puppeteer:
    """Moves along directions; the amplitude is in standard deviations of the population."""
    return Puppeteer(directions.names, amplitude, directions.move)


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


@partial(jax.jit, static_argnums=0)
def _pose(pose, ws: Float[Array, "b l d"], motion: Float[Array, "b k"]) -> Float[Array, "b l d"]:
    return jax.vmap(pose)(ws, motion)
