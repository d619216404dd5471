"""The training loop."""

import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.gan.data import Batches
from stylegan2_flax.gan.snapshots import Exhibit
from stylegan2_flax.gan.state import TrainState, graphdefs, init_state, no_totals
from stylegan2_flax.gan.step import make_optimizers, make_train_step
from stylegan2_flax.generator import Generator
from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run import metrics
from stylegan2_flax.run.arrays import abstract
from stylegan2_flax.run.checkpoints import Checkpoints
from stylegan2_flax.run.interrupt import Interrupt


def train(
    config: ConfigDict,
    workdir: Path,
    generator: Generator,
    discriminator: Discriminator,
    batches: Batches,
    exhibit: Exhibit,
    mesh: Mesh,
) -> TrainState:
    """Train a generator against a discriminator, from the workdir's newest checkpoint or from these networks.

    The state after n steps depends on the config and the networks alone, not on how often the run was stopped.

    Args:
        config: the experiment.
        workdir: where `checkpoints/` and `metrics.jsonl` are written and looked for.
        generator, discriminator: the networks to start from; a resumed run takes only their form.
        batches: real images by the number of the step.
        exhibit: what scores and shows the generator.
        mesh: the devices.

    Returns:
        The state after `config.train.total_kimg` thousand images, or when `config.train.max_minutes` had gone by.

    Raises:
        FloatingPointError: a loss is not finite; nothing is saved from then on.
        OSError: there is no room for checkpoints, or the last one could not be written.
        SystemExit: SIGINT or SIGTERM came; a checkpoint was saved first.
    """
    # 1. What runs: the optimisers, the step.
    began, last = time.monotonic(), steps_of(config, config.train.total_kimg)
    optimizers, replicated = make_optimizers(config), parallel.replicated(mesh)
    train_step = make_train_step(config, graphdefs(generator, discriminator), optimizers, mesh)

    keep = config.train.keep_checkpoints
    with Checkpoints(workdir / "checkpoints", keep) as checkpoints, Interrupt() as interrupt:
        # 2. Where it stands: the newest checkpoint, else step 0, straight onto the devices.
        create = partial(init_state, optimizers=optimizers, augment_p=config.augment.p)
        init = partial(jax.jit(create, out_shardings=replicated), generator, discriminator)
        state = checkpoints.restore(abstract(jax.eval_shape(init), replicated)) or init()
        start = step = int(state.step)
        metrics.rewind(workdir / "metrics.jsonl", start)

        # 3. The steps: log, score, show, save what is due, then the next step. Only what is due waits for the devices.
        stop, values = None, {}
        with _progress(start, last) as progress:
            while True:
                due = _due(config, step, last, stop) if step > start or step == 0 else _Due()
                if any(due):
                    values = _figures(state, step)
                    values |= exhibit.score(state) if due.score else {}
                    progress.set_postfix(_shown(values), refresh=False)
                if due.log:
                    metrics.append(workdir / "metrics.jsonl", step, values)
                    state = state._replace(totals=jax.device_put(no_totals(), replicated))
                if due.snapshot:
                    exhibit.snapshot(state)
                if due.save:
                    checkpoints.save(step, state)
                if stop or step >= last:
                    break
                state = train_step(state, batches(step), step)
                step += 1
                progress.update()
                stop = interrupt.after(step) or _time_is_up(config, began)
        checkpoints.finish(step)
    if interrupt.name and step < last:
        raise SystemExit(
            f"Stopped by {interrupt.name} after step {step} of {last}; a checkpoint is saved in {workdir}. "
            "The same command goes on from there."
        )
    return state


def steps_of(config: ConfigDict, kimg: float) -> int:
    """How many steps show the networks so many thousand images; at least one."""
    return max(1, round(kimg * 1000 / config.train.batch_size))


class _Due(NamedTuple):
    """What is due between two steps."""

    log: bool = False
    score: bool = False
    snapshot: bool = False
    save: bool = False


def _due(config: ConfigDict, step: int, last: int, stop: str | None) -> _Due:
    def every(kimg: float) -> bool:
        return step % steps_of(config, kimg) == 0 or step == last

    score = every(config.score.kimg)
    return _Due(
        log=(step > 0 and every(config.train.log_kimg)) or score,
        score=score,
        snapshot=every(config.snapshot.kimg),
        save=(step > 0 and every(config.train.checkpoint_kimg)) or stop is not None,
    )


def _figures(state: TrainState, step: int) -> dict[str, float]:
    """The means since the last line, where there are any, and where the adaptive parts stand."""
    totals, p, path_length = jax.device_get((state.totals, state.augment_p, state.path_length))
    means = {name: float(total) / float(count) for name, (total, count) in totals.items() if count}
    if broken := [name for name, value in means.items() if not math.isfinite(value)]:
        raise FloatingPointError(
            f"by step {step}, {', '.join(broken)} is not finite, so training stops; the last checkpoint is older. "
            "Try a lower learning rate or a higher loss.r1.gamma, or train.dtype=float32."
        )
    return means | {"Progress/augment": float(p), "Progress/path_length": float(path_length)}


def _shown(values: dict[str, float]) -> dict[str, str]:
    names = {"G": "Loss/G/loss", "D": "Loss/D/loss", "p": "Progress/augment", "score": "score"}
    return {short: f"{values[name]:.3f}" for short, name in names.items() if name in values}


def _time_is_up(config: ConfigDict, began: float) -> str | None:
    minutes = config.train.max_minutes
    return "the clock" if 0 < minutes * 60 <= time.monotonic() - began else None


def _progress(start: int, last: int) -> tqdm:
    # A log file gets a line now and then, a terminal a bar that moves.
    return tqdm(total=last, initial=start, unit="step", mininterval=0.2 if sys.stderr.isatty() else 20)
