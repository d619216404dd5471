"""The train state: plain data, all of it, so that a checkpoint is the state and nothing else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PyTree

from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.generator import Generator
from stylegan2_flax.layers import Buffer

FIGURES = (
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
"""What a step counts: logits and their signs, the losses of the four phases, penalties without their weights."""


class TrainState(NamedTuple):
    """Everything that changes in training. Randomness is a function of seed and step.

    Attributes:
        step: batches seen so far.
        params: parameters of "generator" and "discriminator", nested dicts of arrays.
        ema: running average of the generator's parameters: what users get.
        buffers: of both networks; the mean latent is among the generator's.
        opt_state: of both optimisers.
        path_length: the running mean of path lengths.
        augment_p: the probability of each augmentation.
        signs: sum of mean sign(D(real)) over the steps since augment_p was set.
        totals: sum and count of each of `FIGURES` since the last line of the log.
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


class Streams(NamedTuple):
    """The independent random streams of a run."""

    generator: Key[Array, ""]
    discriminator: Key[Array, ""]
    data: Key[Array, ""]
    steps: Key[Array, ""]
    score: Key[Array, ""]
    snapshot: Key[Array, ""]


def streams(seed: int) -> Streams:
    """Name the streams of a seed. Step i draws from fold_in(steps, i), batch i of the data from fold_in(data, i)."""
    return Streams(*jax.random.split(jax.random.key(seed), len(Streams._fields)))


def init_state(
    generator: Generator,
    discriminator: Discriminator,
    optimizers: dict[str, optax.GradientTransformation],
    augment_p: float,
) -> TrainState:
    """The state before the first step. Jit it, or `jax.eval_shape` it for shapes alone."""
    networks = {"generator": generator, "discriminator": discriminator}
    split = {name: nnx.split(network, nnx.Param, Buffer) for name, network in networks.items()}
    params = {name: _strong(params) for name, (_, params, _) in split.items()}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params["generator"]),
        buffers={name: _strong(buffers) for name, (_, _, buffers) in split.items()},
        opt_state={name: optimizers[name].init(params[name]) for name in networks},
        path_length=jnp.zeros(()),
        augment_p=jnp.asarray(augment_p, jnp.float32),
        signs=jnp.zeros(()),
        totals=no_totals(),
    )


def no_totals() -> dict[str, Float[Array, "2"]]:
    """The totals before anything is counted."""
    return {name: jnp.zeros(2) for name in FIGURES}


def _strong(state: nnx.State) -> PyTree:
    # A weakly typed zero of the first state would be a strong one in the second, and every phase compile twice.
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), nnx.to_pure_dict(state))


def graphdefs(generator: Generator, discriminator: Discriminator) -> dict[str, nnx.GraphDef]:
    """Both networks without their arrays: `nnx.merge(graphdef, params, buffers)` gives them back."""
    return {"generator": nnx.graphdef(generator), "discriminator": nnx.graphdef(discriminator)}
