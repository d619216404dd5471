"""Real images, batch by batch: drawn on the device, from a TFDS dataset, or from a folder.

A batch is a function of its number alone, so a run that resumes asks for the batches that it would have had.
"""

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Key, UInt, UInt8
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from stylegan2_flax import plugins
from stylegan2_flax.media import load_pillow
from stylegan2_flax.media.images import with_channels
from stylegan2_flax.media.pixels import to_pillow

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_TFDS = re.compile(r"tfds:(?P<name>[^:]+(:[\d.*]+)?)(:(?P<split>[^:]+))?")

Batches = Callable[[int], Float[Array, "b h w c"]]
"""Number of a batch -> its images in [-1, 1], spread over the devices."""


@runtime_checkable
class Pictures(Protocol):
    """Stored images by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> UInt8[np.ndarray, "h w c"]: ...


def open_batches(
    config: ConfigDict, resolution: int, channels: int, batch_size: int, key: Key[Array, ""], sharding: NamedSharding
) -> Batches:
    """The batches of `config.source`.

    Args:
        config: `data` of the experiment.
        resolution, channels: of the images.
        batch_size: images in a batch.
        key: of the order of stored images, or of drawn ones, and of flips.
        sharding: of a batch.

    Raises:
        ValueError: there is no such source, it is empty, or its images do not fit.
    """
    source = config.source
    if factory := plugins.find(plugins.IMAGES, source):
        return _drawn(factory(resolution), (resolution, resolution, channels), batch_size, key, sharding, config.mirror)
    if match := _TFDS.fullmatch(source):
        split = match["split"] or "train"
        pictures = Dataset(match["name"], split, config.directory, resolution, channels, config.background)
    elif source and Path(source).is_dir():
        pictures = Folder(Path(source), resolution, channels, config.background)
    else:
        raise ValueError(
            f"unknown data.source {source!r}: it is no folder, nor tfds:NAME or tfds:NAME:SPLIT, "
            f"nor offered by an installed package ({plugins.offered(plugins.IMAGES)})"
        )
    return Stored(pictures, batch_size, key, sharding, config.mirror, config.workers, config.prefetch)


class Stored:
    """Batches of stored images, each image once in an epoch, in an order that each epoch draws anew.

    The next `prefetch` batches are read in the background by `workers` threads.
    """

    def __init__(
        self,
        pictures: Pictures,
        batch_size: int,
        key: Key[Array, ""],
        sharding: NamedSharding,
        mirror: bool,
        workers: int,
        prefetch: int,
    ):
        self._pictures, self._batch_size, self._sharding, self._prefetch = pictures, batch_size, sharding, prefetch
        self._pool = ThreadPoolExecutor(workers)
        self._pending: dict[int, list[Future]] = {}
        seed = np.asarray(jax.random.key_data(key)).tolist()
        # A batch at the end of an epoch needs two orders, and no batch needs more.
        self._order = lru_cache(2)(lambda epoch: np.random.default_rng([*seed, epoch]).permutation(len(pictures)))
        self._finish = jax.jit(
            lambda index, images: _mirrored(_to_float(images), key, index) if mirror else _to_float(images)
        )

    def __call__(self, index: int) -> Float[Array, "b h w c"]:
        """Batch `index`. Raises ValueError where an image of it cannot be read."""
        for number in range(index, index + 1 + self._prefetch):
            if number not in self._pending:
                self._pending[number] = [self._pool.submit(self._pictures.__getitem__, i) for i in self.members(number)]
        images = np.stack([future.result() for future in self._pending.pop(index)])
        return self._finish(jnp.uint32(index), jax.device_put(images, self._sharding))

    def members(self, index: int) -> list[int]:
        """The numbers of the images in batch `index`."""
        positions = range(index * self._batch_size, (index + 1) * self._batch_size)
        places = [divmod(position, len(self._pictures)) for position in positions]
        return [int(self._order(epoch)[place]) for epoch, place in places]


class Folder:
    """All image files of a folder and the folders in it, sorted by path, as square images.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, folder: Path, resolution: int, channels: int, background: str):
        self._resolution, self._channels, self._background = resolution, channels, background
        self._paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not self._paths:
            raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)}), nor do the folders in it")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> UInt8[np.ndarray, "h w c"]:
        """Raises UnreadableImageError that names a file which cannot be read."""
        picture = load_pillow(self._paths[index], self._channels, self._background)
        return _squared(picture, self._resolution)


class Dataset:
    """The feature "image" of a TFDS dataset, read from its ArrayRecord files without TensorFlow.

    Raises:
        ValueError: there is no such dataset, or it has no images.
    """

    def __init__(self, name: str, split: str, directory: str, resolution: int, channels: int, background: str):
        import tensorflow_datasets as tfds

        self._resolution, self._channels, self._background = resolution, channels, background
        try:
            self._source: Any = tfds.data_source(name, split=split, data_dir=directory or None)
        except Exception as error:  # TFDS has many, and no common one
            raise ValueError(f"TFDS cannot open {name!r}, split {split!r}: {error}") from error
        if not len(self._source) or "image" not in self._source[0]:
            raise ValueError(f"the TFDS dataset {name!r}, split {split!r}, has no feature 'image'")

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int, /) -> UInt8[np.ndarray, "h w c"]:
        picture = to_pillow(self._source[index]["image"])
        return _squared(with_channels(picture, self._channels, self._background), self._resolution)


def _squared(picture: Image.Image, resolution: int) -> UInt8[np.ndarray, "h w c"]:
    """The largest square in the picture's middle, resized."""
    picture = ImageOps.fit(picture, (resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(resolution, resolution, -1)


def _drawn(
    draw: Callable[[Key[Array, ""], int], Array],
    shape: tuple[int, int, int],
    batch_size: int,
    key: Key[Array, ""],
    sharding: NamedSharding,
    mirror: bool,
) -> Batches:
    """Batches that are drawn on the devices, each new."""

    def make(index: UInt[Array, ""]) -> Float[Array, "b h w c"]:
        images = draw(jax.random.fold_in(key, index), batch_size)
        if images.shape[1:] != shape:
            raise ValueError(f"data.source draws images of shape {images.shape[1:]}, the networks need {shape}")
        return _mirrored(images, key, index) if mirror else images

    jitted = jax.jit(make, out_shardings=sharding)
    return lambda index: jitted(jnp.uint32(index))


def _mirrored(images: Float[Array, "b h w c"], key: Key[Array, ""], index: UInt[Array, ""]) -> Float[Array, "b h w c"]:
    """Each image left as it is or flipped, half of the time."""
    flip_key = jax.random.fold_in(jax.random.fold_in(key, index), 1)
    flips = jax.random.bernoulli(flip_key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(flips, images[:, :, ::-1], images)


def _to_float(images: UInt8[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    return images.astype(jnp.float32) / 127.5 - 1.0
