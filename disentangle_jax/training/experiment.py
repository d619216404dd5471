"""A whole experiment: from a config and a workdir to a trained model."""

from pathlib import Path

from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.clips import build_clip_source, from_config
from disentangle_jax.clips.streams import check_data, open_stream
from disentangle_jax.domains import load_judged_domain
from disentangle_jax.generators import absolute, digest, load_generator
from disentangle_jax.training import rules
from disentangle_jax.training.state import TrainState, random_streams
from disentangle_jax.training.trainer import make_trainer
from stylegan2_flax.run import parallel
from stylegan2_flax.run.config_record import record_config, undo_on_error
from stylegan2_flax.run.lock import locked
from stylegan2_flax.run.loop import Schedule, train
from stylegan2_flax.run.recorder import check_tensorboard

MAY_CHANGE = (
    "generator",
    "train.num_steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.profile_steps",
    "train.tensorboard",
    "data.directory",
    "data.threads",
    "data.prefetch",
    "evaluation.",
)
"""What a resumed run may set anew: how long it goes on (the learning rate's cosine then ends at the new num_steps),
what it writes and keeps, how it reads, how it is judged, and where its generator lies, as long as `generator_digest`
is the same. Anything else would make the run one that its config does not describe."""


def run(config: ConfigDict, workdir: str | Path) -> TrainState:
    """Train what the config describes, or go on where the workdir stands; see `run.loop.train`.

    Raises:
        ValueError: the config is invalid, or is not the one that the workdir's run began with.
        FileNotFoundError: there is no such generator.
        ImportError: what the config asks for needs a package that is not installed.
        OSError: another process is at work in the workdir.
    """
    workdir = Path(workdir)
    # An invalid config is refused before anything is written.
    rules.check(config)
    mesh = parallel.make_mesh(config.train.batch_size, config.train.accumulate)
    generator = _load_generator(config, workdir)
    from_config.check(config, generator)
    check_tensorboard(config.train.tensorboard)
    check_data(config, (generator.num_ws, generator.w_dim))
    load_judged_domain(config.generator, config.evaluation.judge, generator.img_resolution)
    config = _recorded(config, generator)
    with locked(workdir):
        with undo_on_error(workdir):
            with parallel.first_process_first("workdir"):
                record_config(config, workdir, MAY_CHANGE)
                source = build_clip_source(config, generator, workdir)
            stream = open_stream(config, source, random_streams(config.seed).clips, mesh)
        synthesis = generator.synthesis if config.loss.weights.image > 0 else None
        trainer = make_trainer(config, stream, source.stats.mean, source.stats.std, synthesis)
        return train(trainer, Schedule.of(config.train), workdir)


def _load_generator(config: ConfigDict, workdir: Path) -> sg2.Generator:
    """That of the config, or the workdir's own copy where the config's file is gone."""
    own = workdir / "generator.safetensors"
    try:
        return load_generator(config.generator)
    except FileNotFoundError:
        if not own.exists():
            raise
        return load_generator(own)


def _recorded(config: ConfigDict, generator: sg2.Generator) -> ConfigDict:
    """The config as the workdir records it: its generator by an absolute path, and by a digest of its weights."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.generator, config.generator_digest = absolute(config.generator), digest(generator)
    return config
