"""The TFDS dataset: written and read without TensorFlow, the same faces every time."""

import sys
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from disentangle_jax import faces
from disentangle_jax.faces.parametric_faces import Builder, parametric_faces_dataset_builder
from disentangle_jax.media import from_uint8


def plain(factors, resolution):
    """Pictures of five bands of colour, made in no time."""
    colours = np.concatenate(factors, axis=-1)[:, :15].reshape(-1, 5, 1, 3)
    return np.repeat(colours[:, np.arange(resolution) * 5 // resolution], resolution, axis=2)


def test_faces_come_back_with_their_factors(tmp_path, monkeypatch):
    assert parametric_faces_dataset_builder.render is faces.render
    monkeypatch.setattr(parametric_faces_dataset_builder, "render", plain)
    builder = Builder(data_dir=tmp_path, config="tiny", file_format="array_record")
    builder.download_and_prepare()
    source: Any = tfds.data_source("parametric_faces/tiny", data_dir=tmp_path, split="train")
    assert len(source) == 6
    for example in (source[0], source[5]):
        drawn = plain((example["appearance"][None], example["structure"][None]), resolution=32)[0]
        np.testing.assert_allclose(from_uint8(example["image"]), drawn, atol=1 / 127)
    assert "tensorflow" not in sys.modules
