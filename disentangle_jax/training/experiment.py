"""Training of an autoencoder from a config, in a workdir."""

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax import named_files
from disentangle_jax.clips import build_clip_source, from_config
from disentangle_jax.clips.streams import check_data, open_stream
from disentangle_jax.domains import load_judged_domain
from disentangle_jax.generators import absolute, digest, load_generator
from disentangle_jax.training import rules
from disentangle_jax.training.objective import Frozen
from disentangle_jax.training.random_streams import random_streams
from disentangle_jax.training.trainer import make_trainer
from stylegan2_flax import files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import parallel
from stylegan2_flax.run.checkpoints import warn
from stylegan2_flax.run.config_record import record_config, undo_on_error
from stylegan2_flax.run.lock import locked
from stylegan2_flax.run.loop import SCHEDULE_FIELDS, Schedule, train
from stylegan2_flax.run.recorder import check_tensorboard
from stylegan2_flax.run.train_state import TrainState

MAY_CHANGE = (
    "generator",
    *SCHEDULE_FIELDS,
    "data.directory",
    "data.threads",
    "data.prefetch",
    "evaluation.",
)
"""The fields that a resumed run may change: the number of steps (the learning rate then decays to zero at the new one),
what to write and keep, how to read data, the evaluation, and the location of the generator, as long as its digest is
the same."""


def run(config: ConfigDict, workdir: str | AnyPath) -> TrainState:
    """Train an autoencoder, or resume the run in the workdir; see `run.loop.train`.

    Raises:
        ValueError: the config is invalid, or differs from the config of the run in the workdir.
        FileNotFoundError: the generator does not exist.
        ImportError: the config needs a package that is not installed.
        OSError: another process is training in the workdir.
    """
    workdir = files.as_path(workdir)
    config, mesh, generator = prepare(config, workdir)
    with locked(workdir):
        with undo_on_error(workdir):
            with parallel.first_process_first("workdir"):
                record_config(config, workdir, MAY_CHANGE)
                source = build_clip_source(config, generator, workdir)
            source = parallel.as_in_first_process(source)
            stream = open_stream(config, source, random_streams(config.seed).clips, mesh)
        frozen = Frozen.of(config.loss.weights, generator.synthesis, source.readout)
        trainer = make_trainer(config, stream, source.stats.mean, source.stats.std, frozen)
        return train(trainer, Schedule.of(config.train), workdir)


def prepare(config: ConfigDict, workdir: AnyPath) -> tuple[ConfigDict, Mesh, sg2.Generator]:
    """Check everything that can be known before anything is written or computed.

    Returns:
        The config as it is recorded, the devices, and the generator.

    Raises:
        Exception: see `run`.
    """
    rules.check(config)
    rules.check_objective(config)
    mesh = parallel.make_mesh(config.train.batch_size, config.train.accumulate)
    generator = _load_generator(config, workdir)
    from_config.check(config, generator, workdir)
    check_tensorboard(config.train.tensorboard)
    check_data(config, (generator.num_ws, generator.w_dim))
    domain = load_judged_domain(config.generator, config.evaluation.judge, generator.img_resolution)
    for doubt in (rules.identity_leak(config), rules.taught_by_judge(config) if domain else None):
        if doubt and jax.process_index() == 0:
            warn(doubt)
    return as_recorded(config, generator), mesh, generator


def _load_generator(config: ConfigDict, workdir: AnyPath) -> sg2.Generator:
    """The generator of the config, or the workdir's copy if the config's file does not exist."""
    own = workdir / "generator.safetensors"
    try:
        return load_generator(config.generator)
    except FileNotFoundError:
        if not own.exists():
            raise
        return load_generator(own)


def as_recorded(config: ConfigDict, generator: sg2.Generator) -> ConfigDict:
    """The config with absolute paths and the digest of its generator, so that the run resumes from any folder."""
    config = named_files.absolute(config)
    with config.unlocked():
        config.generator, config.generator_digest = absolute(config.generator), digest(generator)
    return config
