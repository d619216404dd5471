"""The TFDS dataset: written and read without TensorFlow, the same faces every time."""

import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds

from disentangle_jax import faces
from disentangle_jax.faces.parametric_faces import Builder
from disentangle_jax.media import from_uint8


def test_faces_come_back_with_their_factors(tmp_path):
    builder = Builder(data_dir=tmp_path, config="tiny", file_format="array_record")
    builder.download_and_prepare()
    source: Any = tfds.data_source("parametric_faces/tiny", data_dir=tmp_path, split="train")
    assert len(source) == 6
    for example in (source[0], source[5]):
        factors = faces.Factors(jnp.asarray(example["appearance"]), jnp.asarray(example["structure"]))
        drawn = faces.render(factors, resolution=32)
        np.testing.assert_allclose(from_uint8(example["image"]), drawn, atol=1 / 127)
    assert "tensorflow" not in sys.modules
