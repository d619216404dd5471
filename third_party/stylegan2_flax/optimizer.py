"""Adam with lazy regularization, and the decay of the generator's moving average."""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Int

from stylegan2_flax.resample import Number


def lazy_adam(
    learning_rate: Number, b1: Number = 0.0, b2: Number = 0.99, eps: Number = 1e-8, *, interval: int | None = None
) -> optax.GradientTransformation:
    """Adam for a loss whose regularizer has a step of its own after every `interval` steps of the main loss.

    With k = interval and ratio = k / (k + 1), the learning rate is multiplied by ratio, and both betas are raised to
    it, so that k main steps and one regularization step together act like k steps of Adam. Both kinds of steps update
    the same optimizer state. The loss of the regularization step must be multiplied by `interval`.

    NaN gradients are replaced by 0 and infinite ones by ±1e5, as where a norm has no slope: the weights stay finite. A
    loss that is not finite ends training all the same.

    Args:
        learning_rate, b1, b2, eps: of Adam, without regularization steps.
        interval: main steps for each regularization step; None for none.

    Raises:
        ValueError: the interval is below 1.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix B, "Lazy regularization".
    """
    if interval is not None and interval < 1:
        raise ValueError(f"a regularization step follows 1, 2, ... main steps or none (None), got interval={interval}")
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
    """The decay of the moving average in one step: 0.5 ** (batch_size / half-life in images).

    Args:
        batch_size: images in a step.
        ema_kimg: the half-life, in thousands of images.
        ramp: upper bound of the half-life as a fraction of the images seen; None for none.
        cur_nimg: images seen before this step. At 0, a ramp gives a decay of 0.

    Source: Karras et al. 2018, arXiv:1710.10196, for averaging; StyleGAN2-ADA for the half-life and its ramp-up.
    """
    half_life = jnp.asarray(ema_kimg * 1000.0, jnp.float32)
    if ramp is not None:
        half_life = jnp.minimum(half_life, jnp.asarray(cur_nimg, jnp.float32) * ramp)
    return jnp.exp2(-batch_size / jnp.maximum(half_life, 1e-8))
