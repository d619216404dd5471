"""The trainer of the autoencoder, for the training loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from disentangle_jax.clips.streams import ClipStream
from disentangle_jax.model import Autoencoder
from disentangle_jax.training.objective import Frozen
from disentangle_jax.training.optimizer import make_optimizer, make_schedule
from disentangle_jax.training.random_streams import random_streams
from disentangle_jax.training.step import Advance, make_train_step
from stylegan2_flax.run import parallel
from stylegan2_flax.run.loop import Trainer
from stylegan2_flax.run.train_state import TrainState, graphdef, init_state

PROGRESS_METRICS = ("loss", "swap", "appearance_contrast", "structure_contrast")


def make_trainer(
    config: ConfigDict,
    stream: ClipStream,
    mean: Float[Array, "l d"],
    std: Float[Array, "l d"],
    frozen: Frozen,
) -> Trainer[TrainState]:
    """Create the trainer of an autoencoder on synthetic clips, on all devices.

    Args:
        config: the experiment.
        stream: the clips of each step.
        mean, std: mean and standard deviation of the latents.
        frozen: what losses look at decoded latents through.
    """
    mesh = parallel.make_mesh(config.train.batch_size, config.train.accumulate)
    replicated = parallel.replicated(mesh)
    create = partial(_create, config, np.asarray(mean), np.asarray(std))
    schedule = make_schedule(config.optimizer, config.train.num_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    frozen = jax.device_put(frozen, replicated)
    train_step = make_train_step(config, graphdef(create), optimizer, schedule, stream, mesh, frozen)
    return Trainer(
        init=jax.jit(partial(init_state, create, optimizer), out_shardings=replicated),
        sharding=replicated,
        advance=Advance(train_step, stream, frozen),
        progress_metrics=PROGRESS_METRICS,
        advice="Try a lower optimizer.learning_rate or a higher temperature, in a new workdir.",
    )


def _create(config: ConfigDict, mean: Float[np.ndarray, "l d"], std: Float[np.ndarray, "l d"]) -> Autoencoder:
    return Autoencoder(
        jnp.asarray(mean), jnp.asarray(std), **config.model, rngs=nnx.Rngs(random_streams(config.seed).init)
    )
