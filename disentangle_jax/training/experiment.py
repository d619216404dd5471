"""A whole experiment: from a config and a workdir to a trained model."""

from pathlib import Path

from ml_collections import ConfigDict

from disentangle_jax import config as records
from disentangle_jax.clips import build_clip_source
from disentangle_jax.clips.streams import make_feed
from disentangle_jax.generators import load_generator
from disentangle_jax.training import loop
from disentangle_jax.training.state import TrainState, streams
from stylegan2_flax.run import devices as parallel


def run(config: ConfigDict, workdir: str | Path) -> TrainState:
    """Train what the config describes, or go on where the workdir stands; see `loop.train`.

    Raises:
        ValueError: the config asks for the impossible, or is not the one that the workdir's run began with.
        FileNotFoundError: there is no such generator.
    """
    workdir = Path(workdir)
    # What is impossible is refused before anything is written.
    mesh = parallel.make_mesh(config.train.batch_size, config.train.accumulate)
    generator = load_generator(config.generator)
    with parallel.first_process_first("workdir"):
        records.record(config, workdir)
        source = build_clip_source(config, generator, workdir)
    synthesis = generator.synthesis if config.loss.weights.image > 0 else None
    feed = make_feed(config, source, streams(config.seed).clips, mesh)
    return loop.train(config, workdir, feed, source.stats.mean, source.stats.std, synthesis)
