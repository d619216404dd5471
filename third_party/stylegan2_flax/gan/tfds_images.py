"""Training images from a TFDS dataset, read from its ArrayRecord files without TensorFlow."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from stylegan2_flax.files import is_remote
from stylegan2_flax.gan.folder import fit_square
from stylegan2_flax.media.images import with_channels
from stylegan2_flax.media.pixels import to_pillow
from stylegan2_flax.run.local_data import on_local_disk


class TfdsImages:
    """The feature "image" of a TFDS dataset, as square images of one size.

    Args:
        name: name of the dataset, NAME or NAME:VERSION.
        split: name of the split.
        directory: the data_dir in which the dataset was prepared; "" for the default of TFDS.
        resolution: height and width of the images in pixels.
        channels: 1, 3 or 4.
        background: colour behind transparent pixels; see `media.load_pillow`.

    Raises:
        ValueError: there is no such dataset, or it has no feature "image".
    """

    def __init__(self, name: str, split: str, directory: str, resolution: int, channels: int, background: str):
        self._resolution = resolution
        self._channels = channels
        self._background = background
        try:
            self._source: Any = (
                on_local_disk(tfds.builder(name, data_dir=directory)).as_data_source(split=split)
                if is_remote(directory)
                else tfds.data_source(name, split=split, data_dir=directory or None)
            )
        except Exception as error:  # TFDS has no common base class of errors; its message lists all known names
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise ValueError(
                f"TFDS cannot open {name!r}, split {split!r}: {reason}. It takes a name of "
                "https://www.tensorflow.org/datasets/catalog, prepared as ArrayRecord files, or a dataset of your own "
                "in data.directory"
            ) from None
        if not len(self._source) or "image" not in self._source[0]:
            raise ValueError(f"the TFDS dataset {name!r}, split {split!r}, has no feature 'image'")

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        picture = to_pillow(self._source[index]["image"])
        return fit_square(with_channels(picture, self._channels, self._background), self._resolution)
