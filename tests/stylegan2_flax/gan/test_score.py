"""The score: the Fréchet distance in a network's features, against statistics that are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan2_flax.gan.score import Scorer, open_features


def batches_of(shift, scale=1.0):
    """Noise about a mean, 64 images a batch."""
    return lambda index: jnp.asarray(np.random.default_rng(index).normal(shift, scale, (64, 4, 4, 3)), jnp.float32)


def means(images):
    return jnp.mean(images, axis=(1, 2))


@pytest.fixture
def scorer(config, tmp_path, mesh_of):
    config.score.update(num_samples=1024, batch_size=64)
    return Scorer(
        config.score, jax.tree_util.Partial(means), lambda: batches_of(0.0), tmp_path / "reals.npz", mesh_of(8)
    )


def test_the_distance_is_that_of_the_features(scorer):
    """Means of 16 values: three features, standard deviation 1/4."""
    assert scorer(batches_of(0.0)) < 1e-9
    assert scorer(batches_of(2.0)) == pytest.approx(3 * 2.0**2, rel=1e-4)
    assert scorer(batches_of(0.0, 3.0)) == pytest.approx(3 * (3 / 4 - 1 / 4) ** 2, rel=0.1)


def test_statistics_of_the_real_images_are_made_once(config, scorer, tmp_path, mesh_of):
    def fail():
        raise AssertionError("they are there already")

    again = Scorer(config.score, jax.tree_util.Partial(means), fail, tmp_path / "reals.npz", mesh_of(8))
    assert again(batches_of(1.0)) == pytest.approx(scorer(batches_of(1.0)), rel=1e-6)
    with np.load(tmp_path / "reals.npz") as file:
        assert int(file["count"]) == 1024


def test_offered_features_are_found(config):
    features = open_features("tiny_features")
    assert jax.jit(lambda features, images: features(images))(features, jnp.ones((2, 4, 4, 3))).shape == (2, 6)
