"""The train state of one network with a moving average. It consists of arrays only: a checkpoint is it and no more."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from stylegan2_flax.layers import Buffer


class TrainState(NamedTuple):
    """Everything that changes in training or that inference needs. Randomness is a function of the seed and the step.

    Attributes:
        step: number of steps made.
        params: parameters of the network, as nested dicts of arrays.
        ema_params: moving average of the parameters, which inference uses.
        buffers: constants of the network, such as mean and spread of the latents.
        opt_state: the optimizer state.
    """

    step: Int[Array, ""]
    params: PyTree
    ema_params: PyTree
    buffers: PyTree
    opt_state: optax.OptState


def init_state(create: Callable[[], nnx.Module], optimizer: optax.GradientTransformation) -> TrainState:
    """The initial state. Can be jitted, or traced with `jax.eval_shape` for shapes."""
    _, params, buffers = nnx.split(create(), nnx.Param, Buffer)
    params = nnx.to_pure_dict(params)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema_params=jax.tree.map(jnp.copy, params),
        buffers=nnx.to_pure_dict(buffers),
        opt_state=optimizer.init(params),
    )


def graphdef(create: Callable[[], nnx.Module]) -> nnx.GraphDef:
    """The graphdef of the network, for `nnx.merge(graphdef, params, buffers)`."""
    return nnx.split(nnx.eval_shape(create), nnx.Param, Buffer)[0]


def update_ema(ema: PyTree, params: PyTree, step: Int[Array, ""], decay: float) -> PyTree:
    """Update the moving average of the parameters with the decay min(decay, (1 + step) / (10 + step))."""
    step = step.astype(jnp.float32)
    rate: Float[Array, ""] = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(params, ema, rate)
