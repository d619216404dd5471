"""Muon or AdamW, with warm-up, cosine decay and clipping of the gradient's global norm."""

import jax
import optax
import optax.contrib
from jaxtyping import PyTree
from ml_collections import ConfigDict

NAMES = ("muon", "adamw")

_RMS = 0.2  # of Muon's updates, about that of Adam's: both then take the same learning rates


def make_schedule(config: ConfigDict, num_steps: int) -> optax.Schedule:
    """Linear warm-up to `learning_rate` over `warmup_steps`, then cosine decay to zero at `num_steps`.

    Raises:
        ValueError: the warm-up does not end before the last step.
    """
    if config.warmup_steps >= num_steps:
        raise ValueError(f"optimizer.warmup_steps ({config.warmup_steps}) must be below train.num_steps ({num_steps})")
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.warmup_steps, num_steps)


def make_optimizer(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """The optimizer that `config.optimizer` names, with its options. Weight decay applies to kernels only.

    Muon (Jordan et al. 2024) replaces the momentum of each kernel by the nearest orthogonal matrix, with the root mean
    square of Liu et al. (2025); biases and norms it leaves to Adam. Kernels of several layers [l, i, o] are l matrices.
    """
    if config.name == "muon":
        update = optax.contrib.muon(
            schedule,
            beta=config.b1,
            weight_decay=config.weight_decay,
            adam_b1=config.b1,
            adam_b2=config.b2,
            muon_weight_dimension_numbers=_matrices,
            consistent_rms=_RMS,
        )
    else:
        update = optax.adamw(schedule, config.b1, config.b2, weight_decay=config.weight_decay, mask=_is_kernel)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), update)


def _is_kernel(params: PyTree) -> PyTree:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def _matrices(params: PyTree) -> PyTree:
    """The axes of the matrices that Muon moves: of kernels the last two; None for what is no kernel."""
    axes = optax.contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
    return jax.tree.map(lambda is_kernel: axes if is_kernel else None, _is_kernel(params))
