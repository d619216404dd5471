"""The trainer of a generator and a discriminator, for the training loop."""

from functools import partial

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.files import AnyPath
from stylegan2_flax.gan.data import RealImages
from stylegan2_flax.gan.score import Features
from stylegan2_flax.gan.snapshots import Snapshots
from stylegan2_flax.gan.state import TrainState, init_state, random_streams, split_graphdefs, zero_totals
from stylegan2_flax.gan.step import Metrics, make_optimizers, make_train_step
from stylegan2_flax.generator import Generator
from stylegan2_flax.run import parallel
from stylegan2_flax.run.loop import Action, Schedule, Trainer

PROGRESS_METRICS = ("Loss/G/loss", "Loss/D/loss", "Progress/augment", "score")


def make_trainer(
    config: ConfigDict,
    workdir: AnyPath,
    generator: Generator,
    discriminator: Discriminator,
    images: RealImages,
    features: Features | None,
    mesh: Mesh,
) -> Trainer[TrainState]:
    """Create the trainer of a generator and a discriminator.

    Args:
        config: the experiment.
        workdir: where snapshots are written.
        generator, discriminator: the initial networks. A resumed run uses their architecture only.
        images: the real images.
        features: the feature network for scores; None for no scores.
        mesh: the devices.
    """
    optimizers = make_optimizers(config)
    replicated = parallel.replicated(mesh)
    graphdefs = split_graphdefs(generator, discriminator)
    train_step = make_train_step(config, graphdefs, optimizers, mesh)
    batches = images.batches(config.train.batch_size, random_streams(config.seed).data, parallel.over_batch(mesh))
    snapshots = Snapshots(config, workdir, graphdefs, mesh, images, features)
    create = partial(init_state, optimizers=optimizers, augment_p=config.augment.p)

    def advance(state: TrainState, step: int) -> tuple[TrainState, Metrics]:
        return train_step(state, batches(step - 1), step - 1)

    return Trainer(
        init=partial(jax.jit(create, out_shardings=replicated), generator, discriminator),
        sharding=replicated,
        advance=advance,
        actions=(
            Action(every=to_steps(config, config.score.kimg), run=snapshots.score, at_start=True),
            Action(every=to_steps(config, config.snapshot.kimg), run=snapshots.write, at_start=True),
        ),
        log_metrics=lambda state, metrics: _mean_metrics(state),
        after_log=lambda state: state._replace(totals=jax.device_put(zero_totals(), replicated)),
        progress_metrics=PROGRESS_METRICS,
        advice="Try a lower learning rate or a higher loss.r1.gamma, or train.dtype=float32, in a new workdir, from "
        "the networks in this one (--config.init, --config.init_discriminator).",
    )


def make_schedule(config: ConfigDict) -> Schedule:
    """The schedule of `config.train`, whose numbers of thousands of images are converted to steps."""
    options = config.train
    return Schedule(
        num_steps=to_steps(config, options.total_kimg),
        log_every=to_steps(config, options.log_kimg),
        checkpoint_every=to_steps(config, options.checkpoint_kimg),
        keep_checkpoints=options.keep_checkpoints,
        profile_steps=options.profile_steps,
        tensorboard=options.tensorboard,
        max_minutes=options.max_minutes,
    )


def to_steps(config: ConfigDict, kimg: float | int) -> int:
    """Convert thousands of images to steps, at least one."""
    return max(1, round(kimg * 1000 / config.train.batch_size))


def _mean_metrics(state: TrainState) -> dict[str, float]:
    """Means of the metrics since the last line of the log, and the current values of adaptive quantities."""
    totals, p, path_length = jax.device_get((state.totals, state.augment_p, state.path_length))
    means = {name: float(total) / float(count) for name, (total, count) in totals.items() if count}
    return means | {"Progress/augment": float(p), "Progress/path_length": float(path_length)}
