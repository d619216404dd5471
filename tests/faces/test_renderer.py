"""Every factor shows, nothing else moves, and bad input is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax import faces


def _mean_face() -> faces.Factors:
    return faces.unstack(jnp.zeros((1, 16)))


def test_images_have_the_promised_shape_and_range():
    images = faces.render(faces.sample(jax.random.key(0), 6), resolution=48)
    assert images.shape == (6, 48, 48, 3)
    assert images.dtype == jnp.float32
    assert -1.0 <= float(images.min()) < float(images.max()) <= 1.0


def test_leading_axes_are_free():
    clip = faces.sample(jax.random.key(0), 5)
    assert faces.render(clip, resolution=32).shape == (5, 32, 32, 3)
    assert faces.render(faces.Factors(*(v[0] for v in clip)), resolution=32).shape == (32, 32, 3)


@pytest.mark.parametrize("name", faces.NAMES)
def test_every_factor_shows_at_64_pixels(name):
    face = np.zeros((2, 16), np.float32)
    face[:, faces.NAMES.index(name)] = -1.0, 1.0
    low, high = np.asarray(faces.render(faces.unstack(jnp.asarray(face))))
    changed = (np.abs(high - low).max(-1) > 0.1).sum()
    assert changed >= 40, f"{name} changes only {changed} of 4096 pixels"


@pytest.mark.parametrize("name", ["clothing", "background"])
def test_a_colour_leaves_the_face_alone(name):
    face = np.zeros((2, 16), np.float32)
    face[:, faces.NAMES.index(name)] = -1.0, 1.0
    low, high = np.asarray(faces.render(faces.unstack(jnp.asarray(face))))
    np.testing.assert_allclose(low[20:44, 24:40], high[20:44, 24:40], atol=1e-6)


def test_turning_left_mirrors_turning_right():
    face = np.zeros((2, 16), np.float32)
    face[:, faces.NAMES.index("yaw")] = -1.0, 1.0
    left, right = np.asarray(faces.render(faces.unstack(jnp.asarray(face))))
    eyes = slice(24, 36)  # below the swept fringe, above the light's side
    assert np.abs(left[eyes, ::-1] - right[eyes]).mean() < 0.5 * np.abs(left[eyes] - right[eyes]).mean()


def test_supersampling_draws_the_same_picture():
    face = faces.sample(jax.random.key(3), 4)
    assert float(jnp.mean((faces.render(face) - faces.render(face, supersampling=2)) ** 2)) < 0.01


def test_the_picture_is_differentiable_in_every_factor():
    gradient = jax.grad(lambda v: jnp.mean(faces.render(faces.unstack(v)) ** 2))(jnp.full((1, 16), 0.1))
    assert bool(jnp.all(jnp.isfinite(gradient)))
    assert bool(jnp.all(gradient != 0.0))


def test_values_out_of_range_are_clipped_by_render_and_refused_by_check():
    wild = faces.unstack(jnp.full((1, 16), 3.0))
    np.testing.assert_array_equal(faces.render(wild), faces.render(faces.unstack(jnp.ones((1, 16)))))
    with pytest.raises(ValueError, match=r"factor 'skin' must lie in \[-1, 1\]; got 3.0"):
        faces.check(wild)
    with pytest.raises(ValueError, match="'skin'"):
        faces.check(faces.unstack(jnp.full((1, 16), jnp.nan)))
    faces.check(_mean_face())


def test_a_resolution_out_of_range_is_refused():
    with pytest.raises(ValueError, match="between 32 and 256"):
        faces.render(_mean_face(), resolution=16)


def test_samples_fill_the_range_and_repeat():
    values = faces.sample(jax.random.key(1), 4000).stack()
    np.testing.assert_allclose(values.mean(0), 0.0, atol=0.05)
    np.testing.assert_allclose(values.std(0), 1 / np.sqrt(3), atol=0.03)
    np.testing.assert_array_equal(values, faces.sample(jax.random.key(1), 4000).stack())
