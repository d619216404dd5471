"""Resizing against pillow, and against the definition of torch's adaptive average."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from disentangle_jax.inversion import pictures


def random(h, w):
    return np.random.default_rng(h).uniform(-1, 1, (2, h, w, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(50, 70), (16, 24), (9, 31)])
def test_bilinear_is_that_of_pillow(size):
    images = random(20, 30)
    resized = np.asarray(pictures.bilinear(jnp.asarray(images), size))
    for image, ours in zip(images, resized, strict=True):
        for c in range(3):
            theirs = Image.fromarray(image[..., c]).resize(size[::-1], Image.Resampling.BILINEAR)
            np.testing.assert_allclose(ours[..., c], np.asarray(theirs), atol=1e-5)


def test_pictures_of_the_right_size_are_left_as_they_are():
    images = jnp.asarray(random(8, 6))
    assert pictures.bilinear(images, (8, 6)) is images


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (12, 18), (9, 30)])
def test_an_area_average_is_the_mean_of_the_pixels_touched(size):
    images = random(12, 18)
    expected = np.zeros((2, *size, 3))
    for y in range(size[0]):
        for x in range(size[1]):
            (top, bottom), (left, right) = (
                (i * length // out, -((i + 1) * length // -out))
                for i, length, out in ((y, 12, size[0]), (x, 18, size[1]))
            )
            expected[:, y, x] = images[:, top:bottom, left:right].mean((1, 2))
    np.testing.assert_allclose(pictures.area_average(jnp.asarray(images), size), expected, atol=1e-6)
