"""The train state, which consists of arrays only, so that a checkpoint is the state and nothing else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PyTree

from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.generator import Generator
from stylegan2_flax.layers import Buffer

METRICS = (
    "Loss/scores/fake",
    "Loss/scores/real",
    "Loss/signs/fake",
    "Loss/signs/real",
    "Loss/G/loss",
    "Loss/G/reg",
    "Loss/D/loss",
    "Loss/D/reg",
    "Loss/pl_penalty",
    "Loss/r1_penalty",
)
"""Metrics of a step: means of logits and of their signs, losses of the four phases, penalties without weights."""


class TrainState(NamedTuple):
    """Everything that changes in training. All randomness is a function of the seed and the step.

    Attributes:
        step: number of steps made.
        params: parameters of "generator" and "discriminator", as nested dicts of arrays.
        ema: moving average of the generator's parameters, which inference uses.
        buffers: buffers of both networks; the generator's include the mean latent.
        opt_state: optimizer states of both networks.
        path_length: moving average of path lengths.
        augment_p: probability of each augmentation.
        signs: sum of mean sign(D(real)) over the steps since augment_p was last updated.
        totals: sum and count of each of `METRICS` since the last line of the log.
    """

    step: Int[Array, ""]
    params: dict[str, PyTree]
    ema: PyTree
    buffers: dict[str, PyTree]
    opt_state: dict[str, optax.OptState]
    path_length: Float[Array, ""]
    augment_p: Float[Array, ""]
    signs: Float[Array, ""]
    totals: dict[str, Float[Array, "2"]]


class RandomStreams(NamedTuple):
    """Independent random keys for the parts of a run."""

    generator: Key[Array, ""]
    discriminator: Key[Array, ""]
    data: Key[Array, ""]
    steps: Key[Array, ""]
    score: Key[Array, ""]
    snapshot: Key[Array, ""]


def random_streams(seed: int) -> RandomStreams:
    """Split the key of a seed. Step i uses fold_in(steps, i), and batch i of the data fold_in(data, i)."""
    return RandomStreams(*jax.random.split(jax.random.key(seed), len(RandomStreams._fields)))


def init_state(
    generator: Generator,
    discriminator: Discriminator,
    optimizers: dict[str, optax.GradientTransformation],
    augment_p: float,
) -> TrainState:
    """The initial state. Can be jitted, or traced with `jax.eval_shape` for shapes."""
    networks = {"generator": generator, "discriminator": discriminator}
    split = {name: nnx.split(network, nnx.Param, Buffer) for name, network in networks.items()}
    params = {name: _strongly_typed(params) for name, (_, params, _) in split.items()}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params["generator"]),
        buffers={name: _strongly_typed(buffers) for name, (_, _, buffers) in split.items()},
        opt_state={name: optimizers[name].init(params[name]) for name in networks},
        path_length=jnp.zeros(()),
        augment_p=jnp.asarray(augment_p, jnp.float32),
        signs=jnp.zeros(()),
        totals=zero_totals(),
    )


def zero_totals() -> dict[str, Float[Array, "2"]]:
    """Totals of no steps."""
    return {name: jnp.zeros(2) for name in METRICS}


def _strongly_typed(state: nnx.State) -> PyTree:
    # Weakly typed arrays would be strongly typed after the first step, so every phase would compile twice.
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), nnx.to_pure_dict(state))


def split_graphdefs(generator: Generator, discriminator: Discriminator) -> dict[str, nnx.GraphDef]:
    """Graphdefs of both networks, for `nnx.merge(graphdef, params, buffers)`."""
    return {"generator": nnx.graphdef(generator), "discriminator": nnx.graphdef(discriminator)}
