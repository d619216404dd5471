"""The train state, which consists of arrays only, so that a checkpoint is the state and nothing else."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int, Key, PyTree

from disentangle_jax.model import Autoencoder
from stylegan2_flax.layers import Buffer


class TrainState(NamedTuple):
    """Everything that changes in training or that inference needs. Randomness is a function of the seed and the step.

    Attributes:
        step: number of steps made.
        params: parameters of the autoencoder, as nested dicts of arrays.
        ema_params: moving average of the parameters, which inference uses.
        buffers: constants of the autoencoder: mean and standard deviation of the latents.
        opt_state: the optimizer state.
    """

    step: Int[Array, ""]
    params: PyTree
    ema_params: PyTree
    buffers: PyTree
    opt_state: optax.OptState


class RandomStreams(NamedTuple):
    """Independent random keys for the parts of a run."""

    init: Key[Array, ""]
    clips: Key[Array, ""]


def random_streams(seed: int) -> RandomStreams:
    """Split the key of a seed. Clip i of a run is sampled with fold_in(clips, i)."""
    return RandomStreams(*jax.random.split(jax.random.key(seed)))


def init_state(create: Callable[[], Autoencoder], optimizer: optax.GradientTransformation) -> TrainState:
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


def graphdef(create: Callable[[], Autoencoder]) -> nnx.GraphDef:
    """The graphdef of the autoencoder, for `nnx.merge(graphdef, params, buffers)`."""
    return nnx.split(nnx.eval_shape(create), nnx.Param, Buffer)[0]
