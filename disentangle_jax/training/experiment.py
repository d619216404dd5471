"""A whole experiment: from a config and a workdir to a trained model."""

from pathlib import Path

from ml_collections import ConfigDict

from disentangle_jax import config as records
from disentangle_jax.generators import load_generator
from disentangle_jax.latents import build_clip_source, sample_clip
from disentangle_jax.training import loop
from disentangle_jax.training.state import TrainState
from stylegan2_flax.training import parallel


def run(config: ConfigDict, workdir: str | Path) -> TrainState:
    """Train what the config describes, or go on where the workdir stands; see `loop.train`.

    Raises:
        ValueError: the config asks for the impossible, or is not the one that the workdir's run began with.
        FileNotFoundError: there is no such generator.
    """
    workdir = Path(workdir)
    parallel.make_mesh(config.train.batch_size)  # refuses a batch before anything is written
    generator = load_generator(config.generator)
    records.record(config, workdir)
    source = build_clip_source(config, generator, workdir)
    synthesis = generator.synthesis if config.loss.weights.image > 0 else None
    return loop.train(config, workdir, sample_clip, source, source.stats.mean, source.stats.std, synthesis)
