"""Augmentations: pure functions of latents and a key that change the appearance of a clip's frames.

`sample_clip` moves every augmented frame back to its coordinates along the structure directions. How well each
augmentation preserves the structure that a judge reads is measured by `experiments/purity.py`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from disentangle_jax.clips.config import ClipConfig
from disentangle_jax.directions.directions import Directions
from disentangle_jax.latents import take_layers_from


def augment(
    key: PRNGKeyArray,
    ws: Float[Array, "t l d"],
    others: Float[Array, "t l d"],
    config: ClipConfig,
    std: Float[Array, "l d"],
    appearance: Directions,
) -> tuple[Float[Array, "t l d"], Bool[Array, "t"]]:
    """Change the appearance of each frame.

    Args:
        key: random key.
        ws: the frames.
        others: another face for each frame.
        config: the strength of each augmentation.
        std: standard deviation of the latents over faces.
        appearance: directions of appearance, if the config moves along them.

    Returns:
        The augmented frames, whose structure is not restored yet, and which of them show another face altogether.
    """
    k_cut, k_mix, k_change, k_noise, k_appearance = jax.random.split(key, 5)
    t, num_ws, _ = ws.shape
    changed = jax.random.bernoulli(k_change, config.change_face, (t,))
    mixed = jax.random.bernoulli(k_mix, config.mix_layers, (t,))
    cut = jax.random.randint(k_cut, (t,), config.mix_from, num_ws)
    ws = take_layers_from(jnp.where(changed, 0, jnp.where(mixed, cut, num_ws)), ws, others)
    if config.appearance > 0.0:
        ws = change_looks(k_appearance, ws, appearance, config.appearance)
    if config.noise > 0.0:
        ws = add_noise(k_noise, ws, std, config.noise, config.mix_from)
    return ws, changed


def change_looks(
    key: PRNGKeyArray, ws: Float[Array, "n l d"], directions: Directions, spread: float
) -> Float[Array, "n l d"]:
    """Random moves along all directions of appearance: normal, with `spread` in standard deviations."""
    moves = spread * jax.random.normal(key, (len(ws), len(directions.names)))
    return ws + jnp.einsum("nk,kld->nld", moves, directions.vectors)


def add_noise(
    key: PRNGKeyArray, ws: Float[Array, "n l d"], std: Float[Array, "l d"], scale: float, first: int
) -> Float[Array, "n l d"]:
    """Normal noise on the layers from `first` on, with `scale` in standard deviations of the latents."""
    fine = (jnp.arange(ws.shape[1]) >= first)[None, :, None]
    return ws + jnp.where(fine, scale * std[None] * jax.random.normal(key, ws.shape), 0.0)
