"""Where a face's square lies, and what is cut out of it and pasted back."""

import numpy as np
import pytest

from disentangle_jax.inversion.portraits import Square, central_square, crop, ffhq_square, paste

TILTED = Square(150.0, 100.0, 80.0, 0.4)


@pytest.fixture
def waves():
    """A smooth picture of 300x200."""
    y, x = np.mgrid[:200, :300]
    channels = [np.sin(x / 9 + y / 17), np.cos(x / 23 - y / 7), np.sin(x * y / 3000)]
    return np.rint(127.5 + 120 * np.stack(channels, axis=-1)).astype(np.uint8)


def decibels(image, other):
    return 10 * np.log10(255**2 / np.mean((image.astype(float) - other) ** 2))


def turn(points, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def test_the_square_of_a_face_is_that_of_the_published_alignment():
    rng = np.random.default_rng(0)
    landmarks = rng.normal([100, 80], 3, (68, 2))
    landmarks[36:42] += [-20, 0]
    landmarks[42:48] += [20, 3]
    landmarks[48:55] += np.linspace([-15, 40], [15, 38], 7)
    eyes = np.array([landmarks[36:42].mean(0), landmarks[42:48].mean(0)]) + 0.5
    mouth = landmarks[[48, 54]].mean(0) + 0.5
    e, m = eyes[1] - eyes[0], mouth - eyes.mean(0)
    x = e - np.array([-m[1], m[0]])
    x *= max(2 * np.hypot(*e), 1.8 * np.hypot(*m)) / np.hypot(*x)
    y = np.array([-x[1], x[0]])
    center = eyes.mean(0) + 0.1 * m
    square = ffhq_square(landmarks)
    np.testing.assert_allclose(square.corners(), [center - x - y, center - x + y, center + x + y, center + x - y])
    five = np.array([*(eyes - 0.5), [0, 0], landmarks[48], landmarks[54]])
    np.testing.assert_allclose(ffhq_square(five), square)


def test_a_square_turns_and_grows_with_the_face():
    face = np.array([[-20.0, -10.0], [20.0, -10.0], [0.0, 5.0], [-14.0, 26.0], [14.0, 26.0]])
    upright = ffhq_square(face)
    turned = ffhq_square(2 * turn(face + 0.5, 0.6) - 0.5)
    assert upright.angle == pytest.approx(0)
    assert turned.angle == pytest.approx(0.6)
    assert turned.side == pytest.approx(2 * upright.side)
    with pytest.raises(ValueError, match=r"68 landmarks \[68, 2\], or 5 \[5, 2\]; got \[4, 2\]"):
        ffhq_square(face[:4])
    with pytest.raises(ValueError, match="eyes and mouth at different places"):
        ffhq_square(np.zeros((5, 2)))


@pytest.mark.parametrize("size", [16, 80, 200])
def test_pixels_of_a_crop_show_what_lies_at_their_place(size):
    y, x = np.mgrid[:200, :300] + 0.5
    ramps = np.stack([x / 300, y / 200, (x + y) / 500], axis=-1)
    image = np.rint(255 * ramps).astype(np.uint8)
    steps = (np.arange(size) + 0.5) / size
    corner, lower, _, upper = TILTED.corners()
    places = corner + steps[None, :, None] * (upper - corner) + steps[:, None, None] * (lower - corner)
    wanted = 255 * np.stack([places[..., 0] / 300, places[..., 1] / 200, places.sum(-1) / 500], axis=-1)
    difference = crop(image, TILTED, size) - wanted
    assert np.abs(difference).max() < 1.3
    assert np.abs(difference.mean()) < 0.05


@pytest.mark.parametrize("square", [TILTED, Square(10.0, 190.0, 90.0, -0.7), central_square(200, 300)])
def test_an_unchanged_crop_pasted_back_leaves_the_picture_nearly_unchanged(waves, square):
    around = np.hypot(*(np.mgrid[:200, :300] - np.array([square.y, square.x])[:, None, None])) > square.side * 0.71
    result = paste(waves, crop(waves, square, 128), square)
    np.testing.assert_array_equal(result[around], waves[around])
    assert decibels(result, waves) > (45 if square is TILTED else 30)


def test_what_is_pasted_fills_the_square_and_fades_at_its_edge(waves):
    result = paste(waves, np.full((64, 64, 3), 255, np.uint8), TILTED, feather=0.2)
    weight = (result.astype(float) - waves).mean(-1) / (255.0 - waves).mean(-1)
    assert weight[95:105, 145:155] == pytest.approx(1)
    on_edge = TILTED.corners()[:2].mean(0).astype(int)
    assert weight[on_edge[1], on_edge[0]] < 0.1
    assert waves[100, 150].tolist() != [255, 255, 255]
    np.testing.assert_array_equal(paste(waves, np.zeros((8, 8, 3), np.uint8), Square(-90.0, 0.0, 50.0, 0.0)), waves)


def test_beyond_the_edge_a_crop_is_reflected_and_fades_to_the_median(waves):
    pixels = crop(waves, Square(300.0, 100.0, 100.0, 0.0), 100)
    inside, outside = pixels[:, :40], pixels[:, 50:]
    np.testing.assert_array_equal(inside, waves[50:150, 250:290])
    assert outside[:, :5].std() > 40
    median = np.median(pixels[:, :50].reshape(-1, 3), axis=0)
    np.testing.assert_allclose(outside[:, 35:], np.broadcast_to(median, (100, 15, 3)), atol=3)
    with pytest.raises(ValueError, match="the square at 500, 0 lies outside of the picture of 300x200"):
        crop(waves, Square(500.0, 0.0, 100.0, 0.0), 64)
