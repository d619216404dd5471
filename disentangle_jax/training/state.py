"""The train state: plain data, all of it, so that a checkpoint is the state and nothing else."""

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
    """Everything that changes in training or that the trained model needs. Randomness is a function of seed and step.

    Attributes:
        step: updates made so far.
        params: parameters of the autoencoder, nested dicts of arrays.
        ema_params: their running average, which is what users of the model get.
        buffers: the autoencoder's constants (mean and spread of the latents).
        opt_state: the optimiser's memory.
    """

    step: Int[Array, ""]
    params: PyTree
    ema_params: PyTree
    buffers: PyTree
    opt_state: optax.OptState


class RandomStreams(NamedTuple):
    """The independent random streams of a run."""

    init: Key[Array, ""]
    clips: Key[Array, ""]


def random_streams(seed: int) -> RandomStreams:
    """Name the streams of a seed. Clip i of a run is made from fold_in(clips, i)."""
    return RandomStreams(*jax.random.split(jax.random.key(seed)))


def init_state(create: Callable[[], Autoencoder], optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step. Jit it, or `jax.eval_shape` it for shapes alone."""
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
    """The autoencoder without its arrays: `nnx.merge(graphdef, params, buffers)` gives it back."""
    return nnx.split(nnx.eval_shape(create), nnx.Param, Buffer)[0]
