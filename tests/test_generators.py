"""Generators by name, path or URL; the formats have tests of their own."""

from typing import Any

import jax
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.generators import load_generator


def test_bundled():
    assert load_generator("faces64").img_resolution == 64


def test_url(tmp_path):
    pytest.importorskip("fsspec")
    sizes: dict[str, Any] = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 16}}
    generator = jax.jit(lambda key: sg2.Generator(4, 0, 4, 4, **sizes, rngs=nnx.Rngs(key)))(jax.random.key(0))
    sg2.save(generator, tmp_path / "file")
    for source in (tmp_path / "file", f"file://{tmp_path}/file"):
        assert load_generator(source).init_kwargs == generator.init_kwargs


def test_what_is_no_generator(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no generator 'faces65': .* package registers \(faces64\)"):
        load_generator("faces65")
    build = jax.jit(lambda key: sg2.Discriminator(img_resolution=4, channel_base=16, rngs=nnx.Rngs(key)))
    sg2.save(build(jax.random.key(0)), tmp_path / "file")
    with pytest.raises(ValueError, match="file holds a discriminator alone: a generator is needed"):
        load_generator(tmp_path / "file")
