"""One step of training: make clips, take the gradient, update. One jitted function of plain data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int, Key, PyTree, UInt
from ml_collections import ConfigDict

from disentangle_jax.training.objective import objective
from disentangle_jax.training.optimizer import update_ema
from disentangle_jax.training.state import TrainState, streams
from stylegan2_flax.training import parallel

Metrics = dict[str, Float[Array, ""]]
SampleClip = Callable[[Any, Key[Array, ""]], Any]
"""(source, key) -> one clip: ws [t, l, d], augmented [t, l, d], coefficients [t, k]."""


def sample_clips(
    sample_clip: SampleClip, source: PyTree, key: Key[Array, ""], indices: UInt[Array, " b"], sharding: NamedSharding
) -> PyTree:
    """Make the clips of these global indices, each on the device that owns its place in the batch.

    A clip's key is fold_in(key, index), so its bits depend neither on the devices nor on the rest of the batch.
    """
    indices = jax.lax.with_sharding_constraint(indices, sharding)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, indices)
    clips = jax.vmap(sample_clip, (None, 0))(source, keys)
    return jax.lax.with_sharding_constraint(clips, sharding)


def make_loss(
    config: ConfigDict, graphdef: nnx.GraphDef, sample_clip: SampleClip, mesh: Mesh
) -> Callable[[PyTree, PyTree, Int[Array, ""], PyTree, nnx.Module | None], tuple[Float[Array, ""], Metrics]]:
    """The loss as a function of (params, buffers, step, source, synthesis network or None) on that step's clips."""
    key = streams(config.seed).clips
    batch = config.train.batch_size

    def loss(params, buffers, step, source, synthesis):
        indices = step.astype(jnp.uint32) * jnp.uint32(batch) + jnp.arange(batch, dtype=jnp.uint32)
        clips = sample_clips(sample_clip, source, key, indices, parallel.over_batch(mesh))
        frames = clips.ws.shape[1]
        if frames < 2:
            raise ValueError(f"swapping needs clips of at least 2 frames; these have {frames}")
        autoencoder = nnx.merge(graphdef, params, buffers)
        # Swaps run through all distances between two frames of a clip as the steps go by.
        shift = 1 + step % (frames - 1)
        return objective(autoencoder, clips.ws, clips.augmented, clips.coefficients, shift, config.loss, synthesis)

    return loss


def make_train_step(
    config: ConfigDict,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    sample_clip: SampleClip,
    mesh: Mesh,
) -> Callable[[TrainState, PyTree, nnx.Module | None], tuple[TrainState, Metrics]]:
    """The train step: (state, source, synthesis) -> (state, metrics). The state that goes in is given up (donated)."""
    loss = make_loss(config, graphdef, sample_clip, mesh)

    def train_step(state: TrainState, source: PyTree, synthesis: nnx.Module | None) -> tuple[TrainState, Metrics]:
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        (value, parts), grads = value_and_grad(state.params, state.buffers, state.step, source, synthesis)
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
