"""The dataset `parametric_faces` for TFDS, in ArrayRecord files. Writing and reading it needs no TensorFlow.

builder = disentangle_jax.faces.parametric_faces.Builder(data_dir="data", file_format="array_record")
builder.download_and_prepare()
source = builder.as_data_source("train")   # or tfds.data_source("parametric_faces", data_dir="data", split="train")
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np
import tensorflow_datasets as tfds

from disentangle_jax.faces.factors import APPEARANCE, STRUCTURE, Factors, sample
from disentangle_jax.faces.renderer import render
from disentangle_jax.media import png_bytes, to_uint8

_BATCH = 64


@dataclass(kw_only=True)
class FacesConfig(tfds.core.BuilderConfig):
    """A variant of the dataset. Split i is sampled with fold_in(key(seed), i)."""

    resolution: int = 64
    train: int = 4096
    test: int = 512
    seed: int = 0


class Builder(tfds.core.GeneratorBasedBuilder):
    """Random parametric faces with their factors."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        FacesConfig(name="faces64", description="4,096 and 512 faces of 64 x 64 pixels"),
        FacesConfig(name="tiny", description="a handful of 32 x 32 pixels, for tests", resolution=32, train=6, test=2),
    )

    def _info(self) -> tfds.core.DatasetInfo:
        side = self._config.resolution
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(side, side, 3)),
                "appearance": tfds.features.Tensor(shape=(len(APPEARANCE),), dtype=np.float32),
                "structure": tfds.features.Tensor(shape=(len(STRUCTURE),), dtype=np.float32),
            }
        )
        description = f"Rendered faces; appearance is {', '.join(APPEARANCE)}; structure is {', '.join(STRUCTURE)}."
        return self.dataset_info_from_configs(description=description, features=features)

    @property
    def _config(self) -> FacesConfig:
        assert isinstance(self.builder_config, FacesConfig)
        return self.builder_config

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing is downloaded
        train, test = self._config.train, self._config.test
        return {"train": self._generate_examples(0, train), "test": self._generate_examples(1, test)}

    def _generate_examples(self, split: int, n: int) -> Iterator[tuple[int, dict]]:
        faces = sample(jax.random.fold_in(jax.random.key(self._config.seed), split), n)
        for start in range(0, n, _BATCH):
            part = Factors(*(values[start : start + _BATCH] for values in faces))
            images = to_uint8(render(part, self._config.resolution))
            for i, (image, appearance, structure) in enumerate(zip(images, *map(np.asarray, part), strict=True)):
                yield (
                    start + i,
                    {"image": io.BytesIO(png_bytes(image)), "appearance": appearance, "structure": structure},
                )
