"""The training loop."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from disentangle_jax.clips.streams import Feed
from disentangle_jax.model import Autoencoder
from disentangle_jax.training.optimizer import make_optimizer, make_schedule
from disentangle_jax.training.reproduction import leave_reproduction
from disentangle_jax.training.state import TrainState, graphdef, init_state, streams
from disentangle_jax.training.step import Advance, make_train_step
from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run.arrays import abstract
from stylegan2_flax.run.checkpoints import Checkpoints
from stylegan2_flax.run.interrupt import Interrupt
from stylegan2_flax.run.profiler import Profiler
from stylegan2_flax.run.recorder import NotFiniteError, Recorder


def train(
    config: ConfigDict,
    workdir: Path,
    feed: Feed,
    mean: Float[Array, "l d"],
    std: Float[Array, "l d"],
    synthesis: nnx.Module | None = None,
) -> TrainState:
    """Train an autoencoder on synthetic clips, from the workdir's newest checkpoint or afresh.

    The state after n steps depends on the config alone, not on how often the run was stopped and resumed.

    Args:
        config: the experiment.
        workdir: where `checkpoints/` and `metrics.jsonl` are written and looked for; of several processes, on a disk
            that all of them see.
        feed: the clips of each step.
        mean, std: of the latents.
        synthesis: the frozen synthesis network, for the image loss.

    Returns:
        The state after `config.train.num_steps` steps.

    Raises:
        FloatingPointError: a loss or gradient is not finite; nothing is saved from then on but what reproduces it.
        OSError: there is no room for checkpoints, or the last one could not be written.
        SystemExit: SIGINT or SIGTERM came; a checkpoint was saved first.
    """
    # 1. What runs: the model, the optimiser, the step.
    plan, last = config.train, config.train.num_steps
    mesh = parallel.make_mesh(plan.batch_size, plan.accumulate)
    replicated = parallel.replicated(mesh)
    create = partial(_create, config, np.asarray(mean), np.asarray(std))
    schedule = make_schedule(config.optimizer, last)
    optimizer = make_optimizer(config.optimizer, schedule)
    train_step = make_train_step(config, graphdef(create), optimizer, schedule, feed, mesh)
    advance = Advance(train_step, feed, jax.device_put(synthesis, replicated))

    with Checkpoints(workdir / "checkpoints", keep=plan.keep_checkpoints) as checkpoints, Interrupt() as interrupt:
        # 2. Where it stands: the newest checkpoint, else step 0, straight onto the devices.
        init = jax.jit(partial(init_state, create, optimizer), out_shardings=replicated)
        target = abstract(jax.eval_shape(init), replicated)
        state = checkpoints.restore(target) or init()
        start = step = int(state.step)

        # 3. The steps. Nothing waits for the devices except where a line or a checkpoint is due.
        stopped_by = None
        recorder = Recorder(workdir / "metrics.jsonl", start, last)
        with recorder, Profiler(workdir / "profile", plan.profile_steps) as profiler:
            try:
                for step in range(start + 1, last + 1):
                    state, values = profiler.run(step, advance, state, step)
                    recorder.add(step, values)
                    stopped_by = interrupt.after(step)  # once: a signal after this line waits for the next step
                    log = step % plan.log_every == 0 or step == last
                    save = step % plan.checkpoint_every == 0 or step == last or stopped_by is not None
                    if log or save:
                        recorder.look()
                    if log:
                        recorder.write(step)
                    if save:
                        checkpoints.save(step, state)
                    if stopped_by:
                        break
            except NotFiniteError as error:
                advice = leave_reproduction(workdir, error.step, lambda: checkpoints.restore(target) or init(), advance)
                raise FloatingPointError(
                    f"{error}. {advice} Try a lower optimizer.learning_rate or a higher temperature."
                ) from error
        checkpoints.finish(step)
    if stopped_by and step < last:
        raise SystemExit(
            f"Stopped by {stopped_by} after step {step} of {last}; a checkpoint is saved in {workdir}. "
            "The same command goes on from there."
        )
    return state


def _create(config: ConfigDict, mean: Float[np.ndarray, "l d"], std: Float[np.ndarray, "l d"]) -> Autoencoder:
    return Autoencoder(jnp.asarray(mean), jnp.asarray(std), **config.model, rngs=nnx.Rngs(streams(config.seed).init))
