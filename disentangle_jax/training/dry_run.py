"""What a step of a training would need of the devices, before directions are found and anything is written."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int
from ml_collections import ConfigDict

from disentangle_jax.clips import Clip, ClipSource
from disentangle_jax.clips.from_config import blank_clip_source
from disentangle_jax.clips.streams import ClipStream, open_stream
from disentangle_jax.training import experiment
from disentangle_jax.training.objective import Frozen
from disentangle_jax.training.random_streams import random_streams
from disentangle_jax.training.step import Advance
from disentangle_jax.training.trainer import make_trainer
from stylegan2_flax.files import AnyPath, as_path
from stylegan2_flax.run import parallel
from stylegan2_flax.run.config_record import check_record
from stylegan2_flax.run.dry_run import Program, report
from stylegan2_flax.run.trees import abstract


def dry_run(config: ConfigDict, workdir: str | AnyPath) -> str:
    """What a step of `experiment.run` would need of the devices. Nothing is written, and nothing is trained.

    Raises:
        MemoryError: the devices have too little memory, where they tell.
        Exception: what `experiment.run` raises at its start.
    """
    config, mesh, generator = experiment.prepare(config, as_path(workdir))
    check_record(config, workdir, experiment.MAY_CHANGE)
    source = blank_clip_source(config, generator, workdir)
    stream = _stream(config, source, mesh)
    frozen = Frozen.of(config.loss.weights, generator.synthesis, source.readout)
    trainer = make_trainer(config, stream, source.stats.mean, source.stats.std, frozen)
    assert isinstance(trainer.advance, Advance)
    state = abstract(jax.eval_shape(trainer.init), trainer.sharding)
    programs = {"step": Program(trainer.advance.lower(state, stream.fetch(0)))}
    return report(state, state.params, programs, mesh, config.train.batch_size, "clips")


def _stream(config: ConfigDict, source: ClipSource, mesh: Mesh) -> ClipStream:
    """The run's clips; in place of stored ones, which are checked against directions, their shapes alone."""
    if config.data.source != "stored":
        return open_stream(config, source, random_streams(config.seed).clips, mesh)
    from disentangle_jax.clips.stored_clips import find_clips  # imports TFDS, which takes seconds

    num_ws, w_dim = source.directions.mean.shape
    features = find_clips(config.data, (num_ws, w_dim)).info.features
    batch, sharding = config.train.batch_size, parallel.over_batch(mesh)
    shapes = {
        name: jax.ShapeDtypeStruct((batch, *features[name].shape), features[name].np_dtype, sharding=sharding)
        for name in Clip._fields
    }
    return _Shapes(shapes)


@dataclass(frozen=True)
class _Shapes:
    """A stream of stored clips of which only the shapes are known."""

    shapes: dict[str, jax.ShapeDtypeStruct]

    def fetch(self, step: int) -> dict[str, jax.ShapeDtypeStruct]:
        return self.shapes

    def clips(self, fetched: dict[str, Array], step: Int[Array, ""]) -> Clip:
        return Clip(**{name: values.astype(jnp.float32) for name, values in fetched.items()})
