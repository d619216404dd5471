"""Batches of real images: rendered on the device, from a TFDS dataset, or from a folder.

A batch is a function of its index only, so a resumed run sees the batches that it would have seen without a break.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Key, UInt, UInt8
from ml_collections import ConfigDict

from stylegan2_flax import plugins
from stylegan2_flax.gan.folder import Folder
from stylegan2_flax.run import parallel

_TFDS = re.compile(r"tfds:(?P<name>[^:]+(:[\d.*]+)?)(:(?P<split>[^:\[]+(\[[^\]]*\])?[^:]*))?")

_FLIPS = 2**32 - 1

Batches = Callable[[int], Float[Array, "b h w c"]]
"""Index of a batch -> its images in [-1, 1], sharded over the devices."""


@runtime_checkable
class RealImages(Protocol):
    """A source of real images."""

    def batches(self, batch_size: int, key: Key[Array, ""], sharding: NamedSharding) -> Batches:
        """A function that returns batches by index.

        Args:
            batch_size: images in a batch, over all devices and processes.
            key: random key for the order of stored images, for rendered images and for flips.
            sharding: sharding of a batch.
        """
        ...


@runtime_checkable
class ImageSource(Protocol):
    """Stored images by index."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]: ...


def open_images(config: ConfigDict, resolution: int, channels: int) -> RealImages:
    """Open the images of `config.source`.

    Args:
        config: `config.data` of the experiment.
        resolution: height and width of the images in pixels.
        channels: 1, 3 or 4.

    Raises:
        ValueError: there is no such source, it is empty, or its images cannot be read or have another shape.
    """
    source = config.source
    if factory := plugins.find_factory(plugins.IMAGES, source):
        return RenderedImages(factory(resolution), (resolution, resolution, channels), config.mirror)
    if match := _TFDS.fullmatch(source):
        from stylegan2_flax.gan.tfds_images import TfdsImages  # TFDS is slow to import, and optional

        split = match["split"] or "train"
        images = TfdsImages(match["name"], split, config.directory, resolution, channels, config.background)
    elif source and Path(source).is_dir():
        images = Folder(Path(source), resolution, channels, config.background, config.unreadable, config.workers)
    else:
        raise ValueError(
            f"unknown data.source {source!r}: it is no folder, nor tfds:NAME or tfds:NAME:SPLIT, "
            f"nor registered by an installed package ({plugins.registered_names(plugins.IMAGES)})"
        )
    return StoredImages(images, config.mirror, config.workers, config.prefetch)


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Stored images, each once per epoch, shuffled in every epoch.

    Attributes:
        images: the images.
        mirror: whether to flip each image with probability 1/2.
        workers: number of threads that read images.
        prefetch: number of batches to read ahead.
    """

    images: ImageSource
    mirror: bool
    workers: int
    prefetch: int

    def batches(self, batch_size: int, key: Key[Array, ""], sharding: NamedSharding) -> Batches:
        """See `RealImages`. Each process reads its own rows of a batch. ValueError if an image cannot be read."""
        import grain  # slow to import, and optional

        rows = parallel.local_rows(sharding, batch_size)
        seed = int(jax.random.bits(key, dtype=jnp.uint32))
        endless = grain.MapDataset.source(self.images).shuffle(seed).repeat()
        local = grain.MapDataset.source(_LocalRows(endless, batch_size, rows))
        ahead = self.prefetch * len(rows)
        options = grain.ReadOptions(
            num_threads=self.workers if ahead else 0, prefetch_buffer_size=ahead and max(ahead, self.workers)
        )
        finish = jax.jit(
            lambda index, images: _flip_randomly(_to_float(images), key, index) if self.mirror else _to_float(images)
        )
        reader: Iterator[np.ndarray] = iter(())
        next_index = -1

        def batch(index: int) -> Float[Array, "b h w c"]:
            nonlocal reader, next_index
            if index != next_index:
                reader = iter(local[index * len(rows) :].to_iter_dataset(options).batch(len(rows)))
            part = next(reader)
            next_index = index + 1
            images = jax.make_array_from_process_local_data(sharding, part, (batch_size, *part.shape[1:]))
            return finish(jnp.uint32(index), images)

        return batch


@dataclass(frozen=True, eq=False)
class _LocalRows:
    """This process's rows of all batches, one batch after the other."""

    images: Any  # a grain.MapDataset
    batch_size: int
    rows: list[int]

    def __len__(self) -> int:
        return len(self.images) // self.batch_size * len(self.rows)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        batch, row = divmod(index, len(self.rows))
        return self.images[batch * self.batch_size + self.rows[row]]


@dataclass(frozen=True, eq=False)
class RenderedImages:
    """Images that are rendered on the devices, new ones in every batch.

    Attributes:
        draw: (key, number of images) -> images. It is jitted.
        shape: shape [h, w, c] of an image.
        mirror: whether to flip each image with probability 1/2.

    Raises:
        ValueError: `draw` returns images of another shape.
    """

    draw: Callable[[Key[Array, ""], int], Array]
    shape: tuple[int, int, int]
    mirror: bool

    def __post_init__(self):
        shape = jax.eval_shape(lambda key: self.draw(key, 1), jax.random.key(0)).shape
        if shape[1:] != self.shape:
            raise ValueError(f"data.source draws images of shape {shape[1:]}, the networks need {self.shape}")

    def batches(self, batch_size: int, key: Key[Array, ""], sharding: NamedSharding) -> Batches:
        def make(index: UInt[Array, ""]) -> Float[Array, "b h w c"]:
            images = self.draw(jax.random.fold_in(key, index), batch_size)
            return _flip_randomly(images, key, index) if self.mirror else images

        jitted = jax.jit(make, out_shardings=sharding)
        return lambda index: jitted(jnp.uint32(index))


def _flip_randomly(
    images: Float[Array, "b h w c"], key: Key[Array, ""], index: UInt[Array, ""]
) -> Float[Array, "b h w c"]:
    """Flip each image horizontally with probability 1/2, by bits that no source of images has: no index is as large."""
    flip_key = jax.random.fold_in(jax.random.fold_in(key, _FLIPS), index)
    flips = jax.random.bernoulli(flip_key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(flips, images[:, :, ::-1], images)


def _to_float(images: UInt8[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    return images.astype(jnp.float32) / 127.5 - 1.0
