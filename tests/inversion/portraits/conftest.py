"""Finders of faces: dlib, and one of faces that are drawn as dots."""

import numpy as np
import pytest

from disentangle_jax.inversion import portraits

FACE = np.array([[-20.0, 0.0], [20.0, 0.0], [0.0, 15.0], [-14.0, 36.0], [14.0, 36.0]])  # eyes, nose, mouth


@pytest.fixture(scope="session")
def find_dots():
    """Finds a face around each white pixel of a dark picture, as large as the pixel's blue is bright."""

    def find(image):
        ys, xs = np.nonzero(image[..., 0] == 255)
        sizes = image[ys, xs, 2] / 100
        return np.array([[x, y] + size * FACE for x, y, size in zip(xs, ys, sizes, strict=True)]).reshape(-1, 5, 2)

    return find


@pytest.fixture(scope="session")
def draw_dots():
    """A dark picture of 300x200 with faces at these places (x, y, size in percent)."""

    def draw(*places):
        image = np.full((200, 300, 3), 30, np.uint8)
        for x, y, size in places:
            image[y, x] = 255, 255, size
        return image

    return draw


@pytest.fixture(scope="session")
def find_with_dlib():
    return portraits.load_finder()
