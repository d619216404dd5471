"""The clips of each training step: generated within the step, or read from disk."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Key, PyTree, UInt
from ml_collections import ConfigDict

from disentangle_jax.clips.clip import Clip, ClipSource, sample_clip
from stylegan2_flax.run import parallel

SOURCES = ("generated", "stored")

SampleClip = Callable[[Any, Key[Array, ""]], Clip]
"""(source, key) -> one clip."""


@runtime_checkable
class ClipStream(Protocol):
    """The clips of each training step; steps count from 0."""

    def fetch(self, step: int) -> PyTree:
        """The arrays that the jitted step makes its clips from, on the devices. Called before each step."""
        ...

    def clips(self, fetched: PyTree, step: Int[Array, ""]) -> Clip:
        """The clips of the step, sharded over the devices. Traced as part of the jitted step."""
        ...


def check_data(config: ConfigDict, ws: tuple[int, int]) -> None:
    """Check what can be known of `config.data` before directions are found: stored clips are there, and fit.

    Args:
        config: the experiment.
        ws: [l, d], the shape of the generator's latents.

    Raises:
        ValueError: there are no such clips, or they are of latents of another shape.
    """
    if config.data.source == "stored":
        from disentangle_jax.clips.stored_clips import find_clips  # imports TFDS, which takes seconds

        find_clips(config.data, ws)


def open_stream(config: ConfigDict, source: ClipSource, key: Key[Array, ""], mesh: Mesh) -> ClipStream:
    """The clips of `config.data.source` for batches of `config.train.batch_size`.

    Args:
        config: the experiment.
        source: what clips are made from; stored ones must have been made from the same.
        key: of the run's clips.
        mesh: the devices.

    Raises:
        ValueError: there is no such source, or the stored clips do not fit; see `StoredClips`.
    """
    match config.data.source:
        case "generated":
            placed = jax.device_put(source, parallel.replicated(mesh))
            return GeneratedClips(sample_clip, placed, key, config.train.batch_size, mesh, config.data.tile)
        case "stored":
            from disentangle_jax.clips.stored_clips import StoredClips  # imports TFDS, which takes seconds

            return StoredClips.of(config, source, mesh)
        case unknown:
            raise ValueError(f"unknown data.source {unknown!r}: choose from {', '.join(SOURCES)}")


@dataclass(frozen=True, eq=False)
class GeneratedClips:
    """Clips that are sampled within the train step: step n has the global indices from n * batch_size on.

    Attributes:
        sample_clip: makes one clip from the source and a key.
        source: what clips are made from, on every device.
        key: of the run's clips.
        batch_size: clips of a step, over all devices.
        mesh: the devices.
        tile: clips that a device makes at a time; see `sample_tiles`.
    """

    sample_clip: SampleClip
    source: PyTree
    key: Key[Array, ""]
    batch_size: int
    mesh: Mesh
    tile: int

    def fetch(self, step: int) -> list[Array]:
        return jax.tree.leaves(self.source)

    def clips(self, fetched: list[Array], step: Int[Array, ""]) -> Clip:
        source = jax.tree.unflatten(jax.tree.structure(self.source), fetched)
        first = step.astype(jnp.uint32) * jnp.uint32(self.batch_size)
        indices = first + jnp.arange(self.batch_size, dtype=jnp.uint32)
        return sample_clips(self.sample_clip, source, self.key, indices, parallel.over_batch(self.mesh), self.tile)


def sample_clips(
    sample_clip: SampleClip,
    source: PyTree,
    key: Key[Array, ""],
    indices: UInt[Array, " b"],
    sharding: NamedSharding,
    tile: int,
) -> Clip:
    """Make the clips with these global indices, each on the device that holds its part of the batch.

    Each clip has the same bits as when `sample_tiles` makes it elsewhere, under jit as under pmap.
    """
    everywhere = PartitionSpec()
    share = jax.shard_map(
        lambda source, indices: sample_tiles(sample_clip, source, key, indices, tile),
        mesh=sharding.mesh,
        in_specs=(everywhere, sharding.spec),
        out_specs=sharding.spec,
    )
    return share(source, indices)


def sample_tiles(
    sample_clip: SampleClip, source: PyTree, key: Key[Array, ""], indices: UInt[Array, " n"], tile: int
) -> Clip:
    """Make the clips of these global indices on one device, `tile` of them at a time, vectorised.

    The random draws of a clip depend on fold_in(key, index) alone. The rounding of matrix products depends on the shape
    of the arrays too, so that shape is fixed: a clip's bits depend on the tile, but not on the number of clips or
    devices. If the tile does not divide the number of clips, the last tile is padded and cut. The purifier of a source
    is applied to a tile at a time.
    """
    if tile < 1:
        raise ValueError(f"data.tile is {tile}, but clips are made at least 1 at a time")
    n = indices.shape[0]

    def make(indices: UInt[Array, " tile"]) -> Clip:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, indices)
        clips = jax.vmap(sample_clip, (None, 0))(source, keys)
        purifier = getattr(source, "purifier", None)
        clips = clips if purifier is None else purifier(clips)
        # XLA unrolls a loop of one round, and would then fit the products to what becomes of the clips.
        return jax.lax.optimization_barrier(clips)

    rounds = -(-n // tile)
    tiles = jnp.resize(indices, (rounds * tile,)).reshape(rounds, tile)
    return jax.tree.map(lambda x: x.reshape(rounds * tile, *x.shape[2:])[:n], jax.lax.map(make, tiles))
