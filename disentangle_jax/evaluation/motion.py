"""Motions of held-out clips, and the animators that move latents through them.

Held-out clips are moved by something other than the model under test. Where the domain is known, the truth moves them:
only the structure changes, and it takes the wanted values as nearly as a latent can. For any other generator only the
directions are known, and latents move along those.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from disentangle_jax.batching import in_batches
from disentangle_jax.directions import Directions
from disentangle_jax.domains import Domain, search
from disentangle_jax.scorers import structure_columns, structure_names

_BATCH = 64


class Animator(NamedTuple):
    """Moves latents.

    Attributes:
        names: names of the k coordinates of a motion.
        amplitude: largest value of a coordinate, in its own units.
        pose: (ws [l, d], coordinates [k]) -> ws [l, d] with the structure that has these coordinates.
    """

    names: tuple[str, ...]
    amplitude: float
    pose: Callable[[Float[Array, "l d"], Float[Array, "k"]], Float[Array, "l d"]]

    def animate(self, ws: Float[Array, "n l d"], motion: Float[Array, "n t k"]) -> Float[Array, "n t l d"]:
        """Move each latent through its own motion, given in [-1, 1]."""
        n, t, k = motion.shape
        frames = ws.repeat(t, axis=0)
        coordinates = self.amplitude * motion.reshape(n * t, k)
        posed = in_batches(partial(_pose, self.pose), _BATCH, frames, coordinates)
        return jnp.asarray(posed).reshape(n, t, *ws.shape[1:])


def make_animator(domain: Domain | None, directions: Directions, motion: ConfigDict) -> Animator:
    """The animator of an evaluation: by the truth where the domain is known, else along the directions.

    Args:
        domain: what is known of the generator's images.
        directions: those of the model's training.
        motion: `config.evaluation.motion`.
    """
    if domain is None:
        return direction_animator(directions, motion.direction_amplitude)
    return truth_animator(domain, motion.factor_amplitude)


def truth_animator(domain: Domain, amplitude: float) -> Animator:
    """Sets the structure factors, which lie in [-1, 1], and changes nothing else."""
    return Animator(structure_names(domain), amplitude, domain.pose)


def layerwise_animator(domain: Domain, basis: Float[Array, "d d"], amplitude: float) -> Animator:
    """Sets the structure factors by the smallest change of each layer.

    Layers that show a factor then differ from those that do not, which no motion within W can do.

    Args:
        domain: the truth.
        basis: as in `domains.search`.
        amplitude: largest value of a factor.
    """
    columns = structure_columns(domain)

    def pose(ws: Float[Array, "l d"], structure: Float[Array, "k"]) -> Float[Array, "l d"]:
        wanted = domain.truth(ws).at[columns].set(structure)
        return search(domain.truth, ws, wanted, basis, alike=False)

    return Animator(structure_names(domain), amplitude, pose)


def direction_animator(directions: Directions, amplitude: float) -> Animator:
    """Moves along directions; the amplitude is in standard deviations of the population."""
    return Animator(directions.names, amplitude, directions.move)


def sample_loop(key: Key[Array, ""], num_frames: int, num_coordinates: int) -> Float[Array, "t k"]:
    """A smooth motion in [-1, 1] that ends where it began.

    Each coordinate is a sine of one or two whole cycles, with its own phase and an amplitude of 0.6 to 1.
    """
    return _loop(key, num_frames, num_coordinates, may_repeat=True)


def sample_moments(key: Key[Array, ""], num_frames: int, num_coordinates: int) -> Float[Array, "t k"]:
    """A motion in [-1, 1] of which no two frames are alike: a `sample_loop` that does not repeat itself half-way.

    A single coordinate, which passes every value twice in a cycle, goes from one end to the other instead.
    """
    if num_coordinates == 1:
        return jnp.linspace(-1.0, 1.0, num_frames)[:, None]
    return _loop(key, num_frames, num_coordinates, may_repeat=False)


def _loop(key: Key[Array, ""], num_frames: int, num_coordinates: int, *, may_repeat: bool) -> Float[Array, "t k"]:
    cycles_key, phase_key, height_key = jax.random.split(key, 3)
    cycles = jax.random.randint(cycles_key, (1, num_coordinates), 1, 3).astype(jnp.float32)
    if not may_repeat:
        cycles = cycles.at[0, 0].set(jnp.where(jnp.all(cycles == 2.0), 1.0, cycles[0, 0]))
    phase = jax.random.uniform(phase_key, (1, num_coordinates), maxval=2 * np.pi)
    height = jax.random.uniform(height_key, (1, num_coordinates), minval=0.6)
    time = jnp.arange(num_frames, dtype=jnp.float32)[:, None] / num_frames
    return height * jnp.sin(2 * np.pi * cycles * time + phase)


@partial(jax.jit, static_argnums=0)
def _pose(pose, ws: Float[Array, "b l d"], coordinates: Float[Array, "b k"]) -> Float[Array, "b l d"]:
    return jax.vmap(pose)(ws, coordinates)
