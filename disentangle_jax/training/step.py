"""The train step of the autoencoder: clips, loss, gradient and update in one jitted function."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree
from ml_collections import ConfigDict

from disentangle_jax.clips.clip import Clip
from disentangle_jax.clips.streams import ClipStream
from disentangle_jax.training.objective import Frozen, bound_temperatures, objective
from stylegan2_flax.run import parallel
from stylegan2_flax.run.train_state import TrainState, update_ema

Metrics = dict[str, Float[Array, ""]]
LossAndMetrics = tuple[Float[Array, ""], Metrics]


def make_loss(
    config: ConfigDict, graphdef: nnx.GraphDef
) -> Callable[[PyTree, PyTree, Int[Array, ""], Frozen, Clip], LossAndMetrics]:
    """The loss as a function of (params, buffers, step, frozen networks, clips)."""

    def loss(params, buffers, step, frozen, clips):
        num_frames = clips.ws.shape[1]
        if num_frames < 2:
            raise ValueError(f"swapping needs clips of at least 2 frames; these have {num_frames}")
        autoencoder = nnx.merge(graphdef, params, buffers)
        # Over the steps, swaps use all distances between two frames of a clip.
        shift = 1 + step % (num_frames - 1)
        return objective(autoencoder, clips.ws, clips.augmented, clips.coefficients, shift, config.loss, frozen)

    return loss


def make_value_and_grad(
    config: ConfigDict, graphdef: nnx.GraphDef, stream: ClipStream
) -> Callable[[PyTree, PyTree, Int[Array, ""], PyTree, Frozen], tuple[LossAndMetrics, PyTree]]:
    """The loss and its gradient as a function of (params, buffers, step, fetched, frozen networks).

    `fetched` is what `stream.fetch` returned for the step. With `config.train.accumulate` > 1, loss and gradient are
    means over that many parts of the batch, which are computed one after the other. A part is every
    `accumulate`-th clip, so that each device has its share of every part.
    """
    value_and_grad = jax.value_and_grad(make_loss(config, graphdef), has_aux=True)
    part_size = config.train.batch_size // config.train.accumulate

    def loss_and_gradient(params, buffers, step, fetched, frozen):
        clips = stream.clips(fetched, step)
        of_clips = partial(value_and_grad, params, buffers, step, frozen)
        if config.train.accumulate == 1:
            return of_clips(clips)
        mean = optax.microbatching.AccumulationType.MEAN
        return optax.microbatch(of_clips, argnums=0, microbatch_size=part_size, accumulator=mean)(clips)

    return loss_and_gradient


def make_train_step(
    config: ConfigDict,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    stream: ClipStream,
    mesh: Mesh,
    frozen: Frozen,
) -> jax.stages.Wrapped:
    """The jitted train step: (state, what the stream fetched, leaves of the frozen networks) -> (state, metrics).

    The state is donated. Leaves, as of what the stream fetches: lowering would rebuild the networks without arrays.
    """
    value_and_grad = make_value_and_grad(config, graphdef, stream)
    structure = jax.tree.structure(frozen)

    def train_step(state: TrainState, fetched: PyTree, leaves: list[Array]) -> tuple[TrainState, Metrics]:
        frozen = jax.tree.unflatten(structure, leaves)
        (loss, metrics), grads = value_and_grad(state.params, state.buffers, state.step, fetched, frozen)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            rate = jnp.asarray(schedule(state.step))
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = bound_temperatures(optax.apply_updates(state.params, updates), config.loss)
        new = TrainState(
            step=state.step + 1,
            params=params,
            ema_params=update_ema(state.ema_params, params, state.step, config.optimizer.ema_decay),
            buffers=state.buffers,
            opt_state=opt_state,
        )
        return new, {"loss": loss, **metrics, "gradient_norm": optax.tree.norm(grads), "learning_rate": rate}

    return jax.jit(train_step, donate_argnums=0, out_shardings=parallel.replicated(mesh))


class Advance:
    """The train step as the loop calls it: (state, number of the step, from 1) -> (state, metrics).

    It is compiled once, for the shapes of the first call, and raises TypeError for other shapes. Implicit transfers
    between host and devices are errors too. Both would slow down every step.
    """

    def __init__(
        self,
        train_step: jax.stages.Wrapped,
        stream: ClipStream,
        frozen: Frozen,
    ):
        self._train_step = train_step
        self._stream = stream
        self._frozen = jax.tree.leaves(frozen)
        self._compiled = None

    def __call__(self, state: TrainState, step: int) -> tuple[TrainState, Metrics]:
        fetched = self._stream.fetch(step - 1)
        if self._compiled is None:
            self._compiled = self.lower(state, fetched).compile()
        with jax.transfer_guard("disallow"):
            return self._compiled(state, fetched, self._frozen)

    def lower(self, state: TrainState, fetched: PyTree) -> jax.stages.Lowered:
        """The train step, lowered for arrays of these shapes."""
        return self._train_step.lower(state, fetched, self._frozen)
