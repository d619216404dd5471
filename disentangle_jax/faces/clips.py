"""Ground-truth clips: the "real videos" of this domain, rendered from factors that move."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from disentangle_jax.faces.factors import STRUCTURE, Factors, sample


def sample_motion(key: PRNGKeyArray, t: int) -> Float[Array, "t 7"]:
    """Structure factors that move smoothly about random means, two random sinusoids each, within [-1, 1]."""
    k_mean, k_amplitude, k_phase = jax.random.split(key, 3)
    k = len(STRUCTURE)
    mean = jax.random.uniform(k_mean, (1, k), minval=-0.4, maxval=0.4)
    amplitude = jax.random.uniform(k_amplitude, (2, 1, k), minval=0.1, maxval=0.5)
    phase = jax.random.uniform(k_phase, (2, 1, k), maxval=2.0 * jnp.pi)
    ticks = 2.0 * jnp.pi * jnp.arange(t, dtype=jnp.float32)[None, :, None] / t
    cycles = jnp.array([1.0, 2.0])[:, None, None]
    return jnp.clip(mean + jnp.sum(amplitude * jnp.sin(cycles * ticks + phase), axis=0), -1.0, 1.0)


def sample_clip(key: PRNGKeyArray, t: int) -> Factors:
    """The factors [t, ...] of one random face in motion; `render` turns them into a video that loops."""
    k_face, k_motion = jax.random.split(key)
    appearance = jnp.broadcast_to(sample(k_face, 1).appearance, (t, 9))
    return Factors(appearance, sample_motion(k_motion, t))
