"""One step of training: clips, gradient, update. One jitted function of plain data."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree
from ml_collections import ConfigDict

from disentangle_jax.clips.clip import Clip
from disentangle_jax.clips.streams import ClipStream
from disentangle_jax.training.objective import objective
from disentangle_jax.training.optimizer import update_ema
from disentangle_jax.training.state import TrainState
from stylegan2_flax.run import parallel

Metrics = dict[str, Float[Array, ""]]
Loss = tuple[Float[Array, ""], Metrics]


def make_loss(
    config: ConfigDict, graphdef: nnx.GraphDef
) -> Callable[[PyTree, PyTree, Int[Array, ""], nnx.Module | None, Clip], Loss]:
    """The loss as a function of (params, buffers, step, synthesis network or None, clips)."""

    def loss(params, buffers, step, synthesis, clips):
        frames = clips.ws.shape[1]
        if frames < 2:
            raise ValueError(f"swapping needs clips of at least 2 frames; these have {frames}")
        autoencoder = nnx.merge(graphdef, params, buffers)
        # Swaps run through all distances between two frames of a clip as the steps go by.
        shift = 1 + step % (frames - 1)
        return objective(autoencoder, clips.ws, clips.augmented, clips.coefficients, shift, config.loss, synthesis)

    return loss


def make_gradient(
    config: ConfigDict, graphdef: nnx.GraphDef, stream: ClipStream, mesh: Mesh
) -> Callable[[PyTree, PyTree, Int[Array, ""], PyTree, nnx.Module | None], tuple[Loss, PyTree]]:
    """The loss and its gradient as a function of (params, buffers, step, what was fetched, synthesis network or None).

    With `config.train.accumulate` = m > 1 both are means over m parts of the batch, treated one after the other.
    """
    loss, parts = jax.value_and_grad(make_loss(config, graphdef), has_aux=True), config.train.accumulate

    def gradient(params, buffers, step, fetched, synthesis):
        clips = stream.clips(fetched, step)
        of_clips = partial(loss, params, buffers, step, synthesis)
        return of_clips(clips) if parts == 1 else _mean_over_parts(of_clips, clips, parts, mesh)

    return gradient


def make_train_step(
    config: ConfigDict,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    stream: ClipStream,
    mesh: Mesh,
) -> jax.stages.Wrapped:
    """The jitted train step: (state, what the stream fetched, synthesis) -> (state, metrics).

    The state that goes in is given up (donated).
    """
    gradient = make_gradient(config, graphdef, stream, mesh)

    def train_step(state: TrainState, fetched: PyTree, synthesis: nnx.Module | None) -> tuple[TrainState, Metrics]:
        (value, parts), grads = gradient(state.params, state.buffers, state.step, fetched, synthesis)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            rate = jnp.asarray(schedule(state.step))
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = TrainState(
            step=state.step + 1,
            params=params,
            ema_params=update_ema(state.ema_params, params, state.step, config.optimizer.ema_decay),
            buffers=state.buffers,
            opt_state=opt_state,
        )
        return new, {"loss": value, **parts, "gradient_norm": optax.tree.norm(grads), "learning_rate": rate}

    return jax.jit(train_step, donate_argnums=0, out_shardings=parallel.replicated(mesh))


class Advance:
    """The train step as a loop calls it: (state, number of the step, from 1) -> (state, metrics).

    It is compiled once, for what the first step is given, and refuses anything else; while it runs, nothing may slip
    from the host to the devices or back unasked. Either would make every step wait.
    """

    def __init__(
        self,
        train_step: jax.stages.Wrapped,
        stream: ClipStream,
        synthesis: nnx.Module | None,
    ):
        self._train_step, self._stream, self._synthesis = train_step, stream, synthesis
        self._compiled = None

    def __call__(self, state: TrainState, step: int) -> tuple[TrainState, Metrics]:
        fetched = self._stream.fetch(step - 1)
        if self._compiled is None:
            self._compiled = self._train_step.lower(state, fetched, self._synthesis).compile()
        with jax.transfer_guard("disallow"):
            return self._compiled(state, fetched, self._synthesis)


def _mean_over_parts(function: Callable[[Clip], PyTree], clips: Clip, parts: int, mesh: Mesh) -> PyTree:
    """The mean of `function` over parts of the clips: the k-th, the (k + parts)-th, ... Each device has its share of
    every part.
    """
    sharding = NamedSharding(mesh, PartitionSpec(None, "data"))

    def split(x: Array) -> Array:
        x = x.reshape(len(x) // parts, parts, *x.shape[1:]).swapaxes(0, 1)
        return jax.lax.with_sharding_constraint(x, sharding)

    def add(total: PyTree, part: Clip) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, function(part)), None

    split_clips = jax.tree.map(split, clips)
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], split_clips))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, split_clips)
    return jax.tree.map(lambda x: x / parts, total)
