"""Makes clips on all devices and writes them as the data set `synthetic_clips`."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils
from jaxtyping import Array, Float, Key, UInt, UInt8
from ml_collections import ConfigDict
from tqdm import tqdm

from disentangle_jax.clips.clip import ClipSource, sample_clip
from disentangle_jax.clips.clip_dataset import ClipDataset, Rows, features_of, folder_of
from disentangle_jax.clips.provenance import provenance_of
from disentangle_jax.clips.streams import sample_tiles
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run.interrupt import Interrupt

Make = Callable[[UInt[np.ndarray, "devices tile"]], dict[str, Array]]
"""Indices -> the features of these clips, each device's on it."""


def write_clips(
    config: ConfigDict,
    source: ClipSource,
    key: Key[Array, ""],
    out: str | AnyPath,
    num_clips: int,
    dtype: str,
    synthesis: nnx.Module | None = None,
) -> AnyPath:
    """Write the clips 0 to num_clips - 1 of a run, or those that an interrupted call has not written.

    Clip i is the one that training makes from fold_in(key, i). With several processes each writes its own shards.

    Args:
        config: the experiment.
        source: what clips are made from.
        key: random key of the run's clips.
        out: TFDS's `data_dir`.
        num_clips: number of clips.
        dtype: of stored latents, "float16" or "float32".
        synthesis: the network that renders the frames, or None to store no frames.

    Returns:
        The data set's folder.

    Raises:
        ValueError: other clips lie there, or shards are to hold none.
        SystemExit: SIGINT or SIGTERM came; the shards that are finished stay.
    """
    if config.data.clips_per_shard < 1:
        raise ValueError(f"data.clips_per_shard is {config.data.clips_per_shard}; it must be 1 at least")
    clip = jax.eval_shape(sample_clip, source, key)
    image = None
    if synthesis is not None:
        image = jax.eval_shape(_render, synthesis, clip.ws).shape[1:]
    metadata = {
        "num_clips": num_clips,
        "clips_per_shard": config.data.clips_per_shard,
        "tile": config.data.tile,
        "seed": config.seed,
        "dtype": dtype,
        "frames": synthesis is not None,
        **provenance_of(config, source),
    }
    features = features_of(clip.ws.shape, clip.coefficients.shape[-1], dtype, image)
    dataset = ClipDataset(folder_of(out), num_clips, config.data.clips_per_shard, features, metadata)
    dataset.begin()
    mine = range(jax.process_index(), dataset.num_shards, jax.process_count())
    absent = [shard for shard in mine if not dataset.has(shard)]
    total, left = (sum(len(dataset.indices(shard)) for shard in shards) for shards in (mine, absent))
    make = _on_devices(source, key, config.data.tile, dtype, synthesis)
    with Interrupt() as interrupt, tqdm(total=total, initial=total - left, unit="clip") as progress:
        for shard in absent:
            batches = _batches(make, dataset.indices(shard), config.data.tile, config.seed)
            dataset.write(shard, _watched(batches, interrupt, progress))
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("all shards are written")
    if jax.process_index() == 0:
        dataset.finish()
    return dataset.folder


def _on_devices(source: ClipSource, key: Key[Array, ""], tile: int, dtype: str, synthesis: nnx.Module | None) -> Make:
    """A function that makes a tile of clips on each device of this process."""
    devices = jax.local_devices()
    leaves, structure = jax.tree.flatten((source, synthesis))
    place = jax.pmap(lambda _, leaves: leaves, in_axes=(0, None), devices=devices)
    placed = place(np.arange(len(devices)), leaves)

    def make(leaves: list[Array], indices: UInt[Array, " tile"]) -> dict[str, Array]:
        source, synthesis = jax.tree.unflatten(structure, leaves)
        clips = sample_tiles(sample_clip, source, key, indices, tile)
        latents = {"ws": clips.ws.astype(dtype), "augmented": clips.augmented.astype(dtype)}
        frames = {} if synthesis is None else {"frames": jax.lax.map(lambda ws: _render(synthesis, ws), clips.ws)}
        return {**latents, "coefficients": clips.coefficients, **frames}

    mapped = jax.pmap(make, devices=devices)
    return lambda indices: mapped(placed, indices)


def _render(synthesis: nnx.Module, ws: Float[Array, "t l d"]) -> UInt8[Array, "t h w c"]:
    images = synthesis(ws, noise_mode="const")
    return jnp.clip(jnp.rint((images + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


def _batches(make: Make, indices: range, tile: int, seed: int) -> Iterator[Rows]:
    """The features of these clips, a tile of each device at a time; the devices are one call ahead."""
    shape = (jax.local_device_count(), tile)
    calls = [np.arange(start, start + shape[0] * tile) for start in range(indices.start, indices.stop, shape[0] * tile)]
    coming = make(calls[0].astype(np.uint32).reshape(shape))
    for numbers, following in zip(calls, [*calls[1:], None], strict=True):
        made = coming
        if following is not None:
            coming = make(following.astype(np.uint32).reshape(shape))
        n = min(len(numbers), indices.stop - int(numbers[0]))
        rows = {name: np.asarray(x).reshape(-1, *x.shape[2:])[:n] for name, x in made.items()}
        yield {**rows, "index": numbers[:n], "seed": np.full(n, seed)}


def _watched(batches: Iterator[Rows], interrupt: Interrupt, progress: tqdm) -> Iterator[Rows]:
    for rows in batches:
        if interrupt.name:
            raise SystemExit(
                f"Stopped by {interrupt.name}; finished shards are kept. The same command goes on from there."
            )
        yield rows
        progress.update(len(rows["index"]))
