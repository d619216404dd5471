"""Real images, batch by batch: drawn on the device, from a TFDS dataset, or from a folder.

A batch is a function of its number alone, so a run that resumes asks for the batches that it would have had.
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

_TFDS = re.compile(r"tfds:(?P<name>[^:]+(:[\d.*]+)?)(:(?P<split>[^:]+))?")

Batches = Callable[[int], Float[Array, "b h w c"]]
"""Number of a batch -> its images in [-1, 1], spread over the devices."""


@runtime_checkable
class RealImages(Protocol):
    """What a generator learns to draw."""

    def batches(self, batch_size: int, key: Key[Array, ""], sharding: NamedSharding) -> Batches:
        """Batches of that many images.

        Args:
            batch_size: images in a batch, over all devices and processes.
            key: of the order of stored images, or of drawn ones, and of flips.
            sharding: of a batch.
        """
        ...


@runtime_checkable
class Pictures(Protocol):
    """Stored images by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]: ...


def open_images(config: ConfigDict, resolution: int, channels: int) -> RealImages:
    """The images of `config.source`.

    Args:
        config: `data` of the experiment.
        resolution, channels: of the images.

    Raises:
        ValueError: there is no such source, it is empty, or its images do not fit or cannot be read.
    """
    source = config.source
    if factory := plugins.find(plugins.IMAGES, source):
        return Drawn(factory(resolution), (resolution, resolution, channels), config.mirror)
    if match := _TFDS.fullmatch(source):
        from stylegan2_flax.gan.tfds_images import TfdsImages  # TFDS takes seconds to import, and may not be installed

        split = match["split"] or "train"
        pictures = TfdsImages(match["name"], split, config.directory, resolution, channels, config.background)
    elif source and Path(source).is_dir():
        pictures = Folder(Path(source), resolution, channels, config.background, config.unreadable, config.workers)
    else:
        raise ValueError(
            f"unknown data.source {source!r}: it is no folder, nor tfds:NAME or tfds:NAME:SPLIT, "
            f"nor offered by an installed package ({plugins.offered(plugins.IMAGES)})"
        )
    return Stored(pictures, config.mirror, config.workers, config.prefetch)


@dataclass(frozen=True, eq=False)
class Stored:
    """Stored images, each once in an epoch, in an order that each epoch draws anew.

    Attributes:
        pictures: the images.
        mirror: whether half of them are flipped.
        workers: threads that read them.
        prefetch: batches that are read ahead.
    """

    pictures: Pictures
    mirror: bool
    workers: int
    prefetch: int

    def batches(self, batch_size: int, key: Key[Array, ""], sharding: NamedSharding) -> Batches:
        """Of several processes each reads its own part of a batch. ValueError where an image of it cannot be read."""
        import grain  # takes seconds to import, and may not be installed

        rows = _rows(sharding, batch_size)
        seed = int(jax.random.bits(key, dtype=jnp.uint32))
        endless = grain.MapDataset.source(self.pictures).shuffle(seed).repeat()
        ours = grain.MapDataset.source(_Part(endless, batch_size, rows))
        ahead = self.prefetch * len(rows)
        options = grain.ReadOptions(
            num_threads=self.workers if ahead else 0, prefetch_buffer_size=ahead and max(ahead, self.workers)
        )
        finish = jax.jit(
            lambda index, images: _mirrored(_to_float(images), key, index) if self.mirror else _to_float(images)
        )
        reader: Iterator[np.ndarray] = iter(())
        following = -1

        def batch(index: int) -> Float[Array, "b h w c"]:
            nonlocal reader, following
            if index != following:
                reader = iter(ours[index * len(rows) :].to_iter_dataset(options).batch(len(rows)))
            part, following = next(reader), index + 1
            images = jax.make_array_from_process_local_data(sharding, part, (batch_size, *part.shape[1:]))
            return finish(jnp.uint32(index), images)

        return batch


@dataclass(frozen=True, eq=False)
class _Part:
    """This process's rows of all batches, one after the other."""

    images: Any  # a MapDataset of grain
    batch_size: int
    rows: list[int]

    def __len__(self) -> int:
        return len(self.images) // self.batch_size * len(self.rows)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        batch, row = divmod(index, len(self.rows))
        return self.images[batch * self.batch_size + self.rows[row]]


def _rows(sharding: NamedSharding, batch_size: int) -> list[int]:
    """The places of a batch that lie on devices of this process, in order."""
    parts = [index[0] for index in sharding.addressable_devices_indices_map((batch_size,)).values() if index]
    return sorted({row for part in parts for row in range(*part.indices(batch_size))})


@dataclass(frozen=True, eq=False)
class Drawn:
    """Images that are drawn on the devices, each new.

    Attributes:
        draw: (key, how many) -> images; jitted here.
        shape: of an image.
        mirror: whether half of them are flipped.

    Raises:
        ValueError: `draw` gives images of another shape.
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
            return _mirrored(images, key, index) if self.mirror else images

        jitted = jax.jit(make, out_shardings=sharding)
        return lambda index: jitted(jnp.uint32(index))


def _mirrored(images: Float[Array, "b h w c"], key: Key[Array, ""], index: UInt[Array, ""]) -> Float[Array, "b h w c"]:
    """Each image left as it is or flipped, half of the time."""
    flip_key = jax.random.fold_in(jax.random.fold_in(key, index), 1)
    flips = jax.random.bernoulli(flip_key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(flips, images[:, :, ::-1], images)


def _to_float(images: UInt8[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    return images.astype(jnp.float32) / 127.5 - 1.0
