"""AdamW with warm-up and cosine decay, under a bound on the gradient's global norm."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree
from ml_collections import ConfigDict


def make_schedule(config: ConfigDict, num_steps: int) -> optax.Schedule:
    """Linear warm-up to `learning_rate` over `warmup_steps`, then a cosine to zero at `num_steps`.

    Raises:
        ValueError: the warm-up leaves no step for the cosine.
    """
    if config.warmup_steps >= num_steps:
        raise ValueError(f"optimizer.warmup_steps ({config.warmup_steps}) must be below train.num_steps ({num_steps})")
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.warmup_steps, num_steps)


def make_optimizer(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """The optimiser of `config.optimizer`. Weight decay acts on kernels only."""
    adamw = optax.adamw(schedule, config.b1, config.b2, weight_decay=config.weight_decay, mask=_is_kernel)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)


def update_ema(ema: PyTree, params: PyTree, step: Int[Array, ""], decay: float) -> PyTree:
    """Move the running average of the parameters; it forgets faster at first: min(decay, (1 + step) / (10 + step))."""
    step = step.astype(jnp.float32)
    rate: Float[Array, ""] = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(params, ema, rate)


def _is_kernel(params: PyTree) -> PyTree:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
