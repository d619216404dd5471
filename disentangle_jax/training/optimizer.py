"""AdamW with warm-up, cosine decay and clipping of the gradient's global norm."""

import jax
import optax
from jaxtyping import PyTree
from ml_collections import ConfigDict


def make_schedule(config: ConfigDict, num_steps: int) -> optax.Schedule:
    """Linear warm-up to `learning_rate` over `warmup_steps`, then cosine decay to zero at `num_steps`.

    Raises:
        ValueError: the warm-up does not end before the last step.
    """
    if config.warmup_steps >= num_steps:
        raise ValueError(f"optimizer.warmup_steps ({config.warmup_steps}) must be below train.num_steps ({num_steps})")
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.warmup_steps, num_steps)


def make_optimizer(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """AdamW with the options of `config.optimizer`. Weight decay applies to kernels only."""
    adamw = optax.adamw(schedule, config.b1, config.b2, weight_decay=config.weight_decay, mask=_is_kernel)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)


def _is_kernel(params: PyTree) -> PyTree:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
