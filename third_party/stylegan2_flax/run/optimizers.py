"""The optimizer of small networks that are trained on samples without end."""

import optax
from ml_collections import ConfigDict


def clipped_adamw(options: ConfigDict, num_steps: int) -> optax.GradientTransformation:
    """AdamW on gradients whose global norm is clipped: linear warm-up, then cosine decay to 0 at `num_steps`.

    Args:
        options: with `learning_rate`, `warmup_steps`, `weight_decay` and `clip_norm`.
        num_steps: of the run.
    """
    schedule = optax.warmup_cosine_decay_schedule(0.0, options.learning_rate, options.warmup_steps, num_steps)
    adamw = optax.adamw(schedule, weight_decay=options.weight_decay)
    return optax.chain(optax.clip_by_global_norm(options.clip_norm), adamw)
