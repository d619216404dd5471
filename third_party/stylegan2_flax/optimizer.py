"""Adam under lazy regularisation, and how slowly the running average of the generator follows."""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Int

from stylegan2_flax.resample import Number


def lazy_adam(
    learning_rate: Number, b1: Number = 0.0, b2: Number = 0.99, eps: Number = 1e-8, *, interval: int | None = None
) -> optax.GradientTransformation:
    """Adam for a loss whose regulariser is a step of its own, taken at every `interval`-th step of the main loss.

    The k main steps and the one regularising step then move the weights as k steps of plain Adam would: with
    ratio = k / (k + 1), the learning rate is multiplied by it and both betas are raised to it. None: no regularising
    steps, plain Adam. Both kinds of step update the same state, the regularising one with its loss times `interval`.

    Gradients that are not numbers count as 0, infinite ones as ±1e5: one bad batch does not end a run.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix B, "Lazy regularization".
    """
    if interval is not None and interval < 1:
        raise ValueError(f"a regularising step comes every 1, 2, ... steps or never (None), got interval={interval}")
    ratio = 1.0 if interval is None else interval / (interval + 1)
    adam = optax.adam(learning_rate * ratio, b1**ratio, b2**ratio, eps)

    def update(updates, state, params=None):
        updates = jax.tree.map(lambda g: jnp.nan_to_num(g, nan=0.0, posinf=1e5, neginf=-1e5), updates)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            return adam.update(updates, state, params)

    return optax.GradientTransformation(adam.init, update)


def ema_decay(
    batch_size: int, ema_kimg: Number, ramp: Number | None, cur_nimg: Number | Int[Array, ""] | Float[Array, ""]
) -> Float[Array, ""]:
    """How much of the running average stays in one step: 0.5 ** (batch_size / half-life in images).

    ema_kimg: the half-life, in thousands of images. ramp: the half-life is at most this share of the images seen
    (None: no ramp-up). cur_nimg: images seen before this step; at 0 a ramp makes the average a copy of the weights.

    Source: Karras et al. 2018, arXiv:1710.10196, for averaging; StyleGAN2-ADA for the half-life and its ramp-up.
    """
    half_life = jnp.asarray(ema_kimg * 1000.0, jnp.float32)
    if ramp is not None:
        half_life = jnp.minimum(half_life, jnp.asarray(cur_nimg, jnp.float32) * ramp)
    return jnp.exp2(-batch_size / jnp.maximum(half_life, 1e-8))
