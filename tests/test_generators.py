"""Generators by name, path or URL; the formats have tests of their own."""

import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.generators import load_generator


def test_bundled():
    assert load_generator("faces64").img_resolution == 64


def test_url(tmp_path):
    pytest.importorskip("fsspec")
    generator = sg2.Generator(4, 0, 4, 4, synthesis_kwargs={"channel_base": 16}, rngs=nnx.Rngs(0))
    sg2.save(generator, tmp_path / "file")
    for source in (tmp_path / "file", f"file://{tmp_path}/file"):
        assert load_generator(source).init_kwargs == generator.init_kwargs


def test_what_is_no_generator(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no generator 'faces65': .* package registers \(faces64\)"):
        load_generator("faces65")
    sg2.save(sg2.Discriminator(img_resolution=4, channel_base=16, rngs=nnx.Rngs(0)), tmp_path / "file")
    with pytest.raises(ValueError, match="file holds a discriminator alone: a generator is needed"):
        load_generator(tmp_path / "file")
