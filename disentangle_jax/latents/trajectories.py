"""How coefficients [t, k] move: pure functions of one key, every entry of mean 0 and variance 1 over clips."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def sinusoid(key: PRNGKeyArray, t: int, k: int) -> Float[Array, "t k"]:
    """A sin(2 pi f i / t + phase), half a cycle to two a clip.

    The amplitude follows Rayleigh's distribution and the phase is uniform, so that each entry is standard normal over
    clips.
    """
    k_amplitude, k_cycles, k_phase = jax.random.split(key, 3)
    amplitude = jax.random.rayleigh(k_amplitude, 1.0, (1, k))
    cycles = jax.random.uniform(k_cycles, (1, k), minval=0.5, maxval=2.0)
    phase = jax.random.uniform(k_phase, (1, k), maxval=2.0 * math.pi)
    ticks = jnp.arange(t, dtype=jnp.float32)[:, None] / t
    return amplitude * jnp.sin(2.0 * math.pi * cycles * ticks + phase)


def random_walk(key: PRNGKeyArray, t: int, k: int, step: float = 0.6) -> Float[Array, "t k"]:
    """A Gaussian walk reflected at +-sqrt(3): uniform there at the start, and so at every time."""
    bound = math.sqrt(3.0)
    k_start, k_steps = jax.random.split(key)
    start = jax.random.uniform(k_start, (1, k), minval=-bound, maxval=bound)
    steps = step * jax.random.normal(k_steps, (t, k)).at[0].set(0.0)
    free = start + jnp.cumsum(steps, axis=0)
    return jnp.abs((free - bound) % (4.0 * bound) - 2.0 * bound) - bound  # the triangle wave that folds the line


FAMILIES = {"sinusoid": sinusoid, "random_walk": random_walk}


def mixture(key: PRNGKeyArray, t: int, k: int, families: tuple[str, ...]) -> Float[Array, "t k"]:
    """One of the families, drawn anew for every direction."""
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        raise ValueError(f"unknown trajectory {unknown or 'list, it is empty'}; choose from {', '.join(FAMILIES)}")
    k_choice, k_paths = jax.random.split(key)
    paths = jnp.stack([FAMILIES[name](jax.random.fold_in(k_paths, i), t, k) for i, name in enumerate(families)])
    choice = jax.random.randint(k_choice, (1, 1, k), 0, len(families))
    return jnp.take_along_axis(paths, choice, axis=0)[0]
