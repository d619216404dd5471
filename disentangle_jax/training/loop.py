"""The training loop."""

import functools
import math
import sys
from pathlib import Path

import jax
from flax import nnx
from jaxtyping import Array, Float, PyTree
from ml_collections import ConfigDict
from tqdm import tqdm

from disentangle_jax.model import Autoencoder
from disentangle_jax.training.optimizer import make_optimizer, make_schedule
from disentangle_jax.training.state import TrainState, graphdef, init_state, streams
from disentangle_jax.training.step import Metrics, SampleClip, make_train_step
from stylegan2_flax.training import metrics, parallel
from stylegan2_flax.training.arrays import abstract
from stylegan2_flax.training.checkpoint import Checkpoints
from stylegan2_flax.training.interrupt import Interrupt

SHOWN = ("loss", "swap", "appearance_contrast", "structure_contrast")


def train(
    config: ConfigDict,
    workdir: Path,
    sample_clip: SampleClip,
    source: PyTree,
    mean: Float[Array, "l d"],
    std: Float[Array, "l d"],
    synthesis: nnx.Module | None = None,
) -> TrainState:
    """Train an autoencoder on synthetic clips, from the workdir's newest checkpoint or afresh.

    The state after n steps depends on the config alone, not on how often the run was stopped and resumed.

    Args:
        config: the experiment.
        workdir: where `checkpoints/` and `metrics.jsonl` are written and looked for.
        sample_clip: (source, key) -> one clip: ws [t, l, d], augmented [t, l, d], coefficients [t, k].
        source: what clips are made from; an argument of the jitted step, not differentiated.
        mean, std: of the latents.
        synthesis: the frozen synthesis network, for the image loss.

    Returns:
        The state after `config.train.num_steps` steps.

    Raises:
        FloatingPointError: a loss or gradient is not finite; nothing is saved from then on.
        SystemExit: SIGINT or SIGTERM came; a checkpoint was saved first.
    """
    # 1. What runs: the model, the optimiser, the step.
    plan, last = config.train, config.train.num_steps
    mesh = parallel.make_mesh(plan.batch_size)
    replicated = parallel.replicated(mesh)
    create = functools.partial(_create, config, mean, std)
    schedule = make_schedule(config.optimizer, last)
    optimizer = make_optimizer(config.optimizer, schedule)
    train_step = make_train_step(config, graphdef(create), optimizer, schedule, sample_clip, mesh)
    source, synthesis = jax.device_put((source, synthesis), replicated)

    with Checkpoints(workdir / "checkpoints", keep=plan.keep_checkpoints) as checkpoints, Interrupt() as interrupt:
        # 2. Where it stands: the newest checkpoint, else step 0, straight onto the devices.
        init = jax.jit(functools.partial(init_state, create, optimizer), out_shardings=replicated)
        start = step = checkpoints.latest_step or 0
        state = checkpoints.restore(abstract(jax.eval_shape(init), replicated)) if start else init()
        metrics.rewind(workdir / "metrics.jsonl", start)

        # 3. The steps. Nothing waits for the devices except where a line or a checkpoint is due.
        pending: dict[int, Metrics] = {}
        stopped_by = None
        with _progress(start, last) as progress:
            for step in range(start + 1, last + 1):
                state, pending[step] = train_step(state, source, synthesis)
                stopped_by = interrupt.name  # once: a signal after this line waits for the next step
                log = step % plan.log_every == 0 or step == last
                save = step % plan.checkpoint_every == 0 or step == last or stopped_by is not None
                if log or save:
                    values = _fetch(pending)
                if log:
                    metrics.append(workdir / "metrics.jsonl", step, values)
                    progress.set_postfix({name: f"{values[name]:.3f}" for name in SHOWN}, refresh=False)
                if save:
                    checkpoints.save(step, state)
                progress.update()
                if stopped_by:
                    break
    if stopped_by and step < last:
        raise SystemExit(
            f"Stopped by {stopped_by} after step {step} of {last}; a checkpoint is saved in {workdir}. "
            "The same command goes on from there."
        )
    return state


def _create(config: ConfigDict, mean: Float[Array, "l d"], std: Float[Array, "l d"]) -> Autoencoder:
    return Autoencoder(mean, std, **config.model, rngs=nnx.Rngs(streams(config.seed).init))


def _fetch(pending: dict[int, Metrics]) -> dict[str, float]:
    """Wait for the metrics of all pending steps, look for the first that is not finite, and give the last."""
    values: dict[str, float] = {}
    for step, fetched in jax.device_get(pending).items():
        values = {name: float(value) for name, value in fetched.items()}
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise FloatingPointError(
                f"step {step}: {', '.join(broken)} is not finite, so training stops; the last checkpoint is older. "
                "Try a lower optimizer.learning_rate or a higher temperature."
            )
    pending.clear()
    return values


def _progress(start: int, last: int) -> tqdm:
    # A log file gets a line now and then, a terminal a bar that moves.
    return tqdm(total=last, initial=start, unit="step", mininterval=0.2 if sys.stderr.isatty() else 20)
