"""The network of a feed-forward encoder: any size of picture, files of its own, one generator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stylegan2_flax as sg2
from disentangle_jax.generators import digest
from disentangle_jax.inversion import encoders
from disentangle_jax.inversion.encoder_network import EncoderNetwork, create


def untrained(sizes, scale):
    return jax.jit(lambda axes: create(sizes, 0, jnp.arange(8.0), axes))(
        np.float32(scale) * np.eye(8, dtype=np.float32)
    )


@pytest.fixture(scope="module")
def encoder(generator):
    sizes = {
        "num_ws": generator.num_ws,
        "w_dim": 8,
        "image_channels": 3,
        "size": 8,
        "widths": (4, 6),
        "num_units": (1, 0),
        "hidden": 5,
        "generator": digest(generator),
    }
    network = untrained(sizes, 2.0)
    network.head.kernel[...] = jnp.asarray(np.random.default_rng(0).normal(size=network.head.kernel.shape), jnp.float32)
    return network


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (3, 16, 16, 3)), jnp.float32)


def test_an_untrained_network_gives_the_mean(encoder, images):
    network = untrained(encoder.sizes, 1.0)
    np.testing.assert_array_equal(network(images), np.broadcast_to(np.arange(8.0), (3, encoder.num_ws, 8)))


def test_pictures_of_other_sizes_are_averaged_over_areas(encoder, images):
    small = np.asarray(images).reshape(3, 8, 2, 8, 2, 3).mean((2, 4))
    ws = encoder(images)
    assert ws.shape == (3, encoder.num_ws, 8)
    assert np.std(ws, axis=0).min() > 0
    np.testing.assert_allclose(ws, encoder(small), rtol=1e-4, atol=1e-4)
    assert encoder(np.ones((1, 40, 40, 3), np.float32)).shape == (1, encoder.num_ws, 8)


def test_what_is_no_picture_is_refused(encoder, images):
    with pytest.raises(ValueError, match="images must be numbers in"):
        encoder(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="images must"):
        encoder(images[0])


def test_a_file_gives_it_back(encoder, images, tmp_path):
    encoder.save(tmp_path / "mine.safetensors")
    loaded = EncoderNetwork.load(tmp_path / "mine.safetensors")
    assert loaded.sizes == encoder.sizes
    np.testing.assert_allclose(loaded(images), encoder(images), rtol=1e-2, atol=1e-2)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "mine.safetensors").read_bytes()


def test_a_file_of_its_own_is_found_like_others_and_for_its_generator_alone(encoder, generator, images, tmp_path):
    encoder.save(tmp_path / "mine.safetensors")
    found = encoders.load(tmp_path / "mine.safetensors", generator)
    np.testing.assert_allclose(found(images), encoder(images), rtol=1e-2, atol=1e-2)
    other = jax.tree.map(lambda leaf: leaf + 1, generator)
    with pytest.raises(ValueError, match="trained for another generator"):
        encoders.load(tmp_path / "mine.safetensors", other)


def test_a_file_of_something_else_is_refused(generator, tmp_path):
    sg2.save(generator, tmp_path / "generator.safetensors")
    with pytest.raises(ValueError, match="holds no encoder"):
        EncoderNetwork.load(tmp_path / "generator.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no encoder"):
        encoders.load(tmp_path / "none.safetensors", generator)
