"""Every factor shows, nothing else moves, and bad input is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax import faces


@pytest.fixture(scope="module")
def some():
    """Factors of random faces."""
    return np.random.default_rng(0).uniform(-1, 1, (32, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def extremes(pictures):
    """By the name of a factor, the mean face where that factor is least and where it is greatest."""
    values = np.zeros((16, 2, 16))
    values[range(16), :, range(16)] = -1.0, 1.0
    return dict(zip(faces.NAMES, pictures(values.reshape(32, 16)).reshape(16, 2, 64, 64, 3), strict=True))


def unstack(values):
    return faces.unstack(jnp.asarray(values, jnp.float32))


def test_images_have_the_promised_shape_and_range(pictures, some):
    images = pictures(some)
    assert images.shape == (32, 64, 64, 3)
    assert images.dtype == np.float32
    assert -1.0 <= images.min() < images.max() <= 1.0


@pytest.mark.parametrize(("leading", "resolution"), [((), 32), ((2, 3), 256)])
def test_leading_axes_and_the_resolution_are_free(leading, resolution):
    shape = jax.eval_shape(lambda: faces.render(unstack(np.zeros((*leading, 16))), resolution))
    assert shape.shape == (*leading, resolution, resolution, 3)


@pytest.mark.parametrize("name", faces.NAMES)
def test_every_factor_shows_at_64_pixels(extremes, name):
    low, high = extremes[name]
    changed = (np.abs(high - low).max(-1) > 0.1).sum()
    assert changed >= 40, f"{name} changes only {changed} of 4096 pixels"


@pytest.mark.parametrize("name", ["clothing", "background"])
def test_a_colour_leaves_the_face_alone(extremes, name):
    low, high = extremes[name]
    np.testing.assert_allclose(low[20:44, 24:40], high[20:44, 24:40], atol=1e-6)


def test_turning_left_mirrors_turning_right(extremes):
    left, right = extremes["yaw"]
    eyes = slice(24, 36)  # below the swept fringe, above the light's side
    assert np.abs(left[eyes, ::-1] - right[eyes]).mean() < 0.5 * np.abs(left[eyes] - right[eyes]).mean()


def test_supersampling_draws_the_same_picture(pictures, some):
    assert np.mean((pictures(some) - pictures(some, supersampling=2)) ** 2) < 0.01


def test_the_picture_is_differentiable_in_every_factor():
    power = jax.jit(jax.grad(lambda v: jnp.mean(faces.render(faces.unstack(v)) ** 2)))
    gradient = np.asarray(power(np.full((1, 16), 0.1, np.float32)))
    assert np.isfinite(gradient).all()
    assert (gradient != 0.0).all()


def test_values_out_of_range_are_clipped(pictures):
    np.testing.assert_array_equal(pictures(np.full((1, 16), 3.0)), pictures(np.ones((1, 16))))


def test_a_resolution_out_of_range_is_refused():
    with pytest.raises(ValueError, match="between 32 and 256"):
        faces.render(unstack(np.zeros((1, 16))), resolution=16)


def test_samples_fill_the_range_and_repeat():
    values = np.asarray(faces.sample(jax.random.key(1), 4000).stack())
    np.testing.assert_allclose(values.mean(0), 0.0, atol=0.05)
    np.testing.assert_allclose(values.std(0), 1 / np.sqrt(3), atol=0.03)
    np.testing.assert_array_equal(values, faces.sample(jax.random.key(1), 4000).stack())
