"""What the training loop trains: a generator against a discriminator."""

from functools import partial
from pathlib import Path

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.gan.data import RealImages
from stylegan2_flax.gan.score import Features
from stylegan2_flax.gan.snapshots import Snapshots
from stylegan2_flax.gan.state import TrainState, graphdefs, init_state, no_totals, streams
from stylegan2_flax.gan.step import Figures, make_optimizers, make_train_step
from stylegan2_flax.generator import Generator
from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run.loop import Action, Schedule, Trainer

SHOWN = ("Loss/G/loss", "Loss/D/loss", "Progress/augment", "score")


def make_trainer(
    config: ConfigDict,
    workdir: Path,
    generator: Generator,
    discriminator: Discriminator,
    images: RealImages,
    features: Features | None,
    mesh: Mesh,
) -> Trainer[TrainState]:
    """The trainer of a generator against a discriminator.

    Args:
        config: the experiment.
        workdir: where snapshots are written.
        generator, discriminator: the networks to start from; a resumed run takes only their form.
        images: the real ones.
        features: what images are scored by, if they are.
        mesh: the devices.
    """
    optimizers, replicated = make_optimizers(config), parallel.replicated(mesh)
    forms = graphdefs(generator, discriminator)
    train_step = make_train_step(config, forms, optimizers, mesh)
    batches = images.batches(config.train.batch_size, streams(config.seed).data, parallel.over_batch(mesh))
    snapshots = Snapshots(config, workdir, forms, mesh, images, features)
    create = partial(init_state, optimizers=optimizers, augment_p=config.augment.p)

    def advance(state: TrainState, step: int) -> tuple[TrainState, Figures]:
        return train_step(state, batches(step - 1), step - 1)

    return Trainer(
        init=partial(jax.jit(create, out_shardings=replicated), generator, discriminator),
        sharding=replicated,
        advance=advance,
        actions=(
            Action(every=steps_of(config, config.score.kimg), run=snapshots.score, at_start=True),
            Action(every=steps_of(config, config.snapshot.kimg), run=snapshots.write, at_start=True),
        ),
        line=lambda state, values: _means(state),
        after_line=lambda state: state._replace(totals=jax.device_put(no_totals(), replicated)),
        shown=SHOWN,
        advice="Try a lower learning rate or a higher loss.r1.gamma, or train.dtype=float32.",
    )


def schedule_of(config: ConfigDict) -> Schedule:
    """What is due when: the config's thousands of images as steps."""
    plan = config.train
    return Schedule(
        num_steps=steps_of(config, plan.total_kimg),
        log_every=steps_of(config, plan.log_kimg),
        checkpoint_every=steps_of(config, plan.checkpoint_kimg),
        keep_checkpoints=plan.keep_checkpoints,
        profile_steps=plan.profile_steps,
        tensorboard=plan.tensorboard,
        max_minutes=plan.max_minutes,
    )


def steps_of(config: ConfigDict, kimg: float | int) -> int:
    """How many steps show the networks so many thousand images; at least one."""
    return max(1, round(kimg * 1000 / config.train.batch_size))


def _means(state: TrainState) -> dict[str, float]:
    """The figures' means since the last line, where there are any, and where the adaptive parts stand."""
    totals, p, path_length = jax.device_get((state.totals, state.augment_p, state.path_length))
    means = {name: float(total) / float(count) for name, (total, count) in totals.items() if count}
    return means | {"Progress/augment": float(p), "Progress/path_length": float(path_length)}
