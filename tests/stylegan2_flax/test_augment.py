"""Augmentation: known transforms of known pictures, how often each acts, and what gradients pass through."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import stylegan2_flax.augment as augmentations
from stylegan2_flax.augment import augment, draw_blit, draw_color, draw_geometry, next_probability
from stylegan2_flax.losses import r1_penalty

KEY = jax.random.key(0)
compiled = jax.jit(augment, static_argnames="pipeline")
warp, blit = jax.jit(augmentations.warp), jax.jit(augmentations.blit)


def pictures(batch, size=8, channels=3):
    return np.random.default_rng(1).uniform(-1, 1, (batch, size, size, channels)).astype(np.float32)


def augmented(images, p, pipeline="bgc", key=KEY):
    return np.asarray(compiled(key, images, np.float32(p), pipeline))


def lookup(*rows):
    return np.array([[*rows, [0, 0, 1]]], np.float32)


def share(condition):
    return float(np.mean(np.asarray(condition)))


@cache
def blits():
    """A picture, and what each of its transforms is called by its bytes: mirrored, quarter turns, down, right."""
    picture = pictures(1, channels=1)[0]
    names = {}
    for mirrored in (0, 1):
        for turns in range(4):
            turned = np.rot90(picture[:, ::-1] if mirrored else picture, turns)
            padded = np.pad(turned, ((1, 1), (1, 1), (0, 0)), mode="reflect")
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    shifted = padded[1 - down : 9 - down, 1 - right : 9 - right]
                    names[shifted.tobytes()] = mirrored, turns, down, right
    assert len(names) == 72
    return picture, names


@pytest.mark.parametrize(("pipeline", "channels"), [("bg", 4), ("bgc", 3), ("bgc", 1)])
def test_probability_zero_changes_nothing(pipeline, channels):
    """In all parts of a pipeline; those of one part are below."""
    images = pictures(16, channels=channels)
    np.testing.assert_array_equal(augmented(images, 0, pipeline), images)


@pytest.mark.parametrize("p", [1.0, 0.4, 0.0])
def test_blits(p):
    """Pixels are moved and never mixed; each transform as often as it should be."""
    picture, names = blits()
    results = augmented(np.tile(picture[None], (4000, 1, 1, 1)), p, "blit")
    mirrored, turns, down, right = np.transpose([names[image.tobytes()] for image in results])
    # A mirror image has the same parity whatever turns follow; a drawn flip or turn may also be none.
    assert share(mirrored) == pytest.approx(p / 2, abs=0.03)
    for turn in (1, 2, 3):
        assert share(turns == turn) == pytest.approx(p / 4, abs=0.03)
    for shift in (down, right):  # round(uniform in -1 ... 1)
        assert share(shift == 1) == pytest.approx(p / 4, abs=0.03)
        assert share(shift == -1) == pytest.approx(p / 4, abs=0.03)
    assert share((down == 0) & (right == 0)) == pytest.approx(1 - p + p / 4, abs=0.03)
    assert share((mirrored == 1) & (turns == 2)) == pytest.approx(p / 2 * p / 4, abs=0.03)  # independent of each other


def test_warp_is_exact_where_pixels_move_onto_pixels():
    images = pictures(3, 9)
    identity, turn = lookup([1, 0, 0], [0, 1, 0]), lookup([0, -1, 0], [1, 0, 0])
    mirrored, shifted = lookup([-1, 0, 0], [0, 1, 0]), lookup([1, 0, -2], [0, 1, 3])
    for matrix in (identity, turn, mirrored, shifted):
        lookups = np.tile(matrix, (3, 1, 1))
        np.testing.assert_allclose(warp(images, lookups), blit(images, lookups), atol=2e-6)
    np.testing.assert_array_equal(blit(images, np.tile(turn, (3, 1, 1))), np.rot90(images, axes=(1, 2)))
    padded = np.pad(images, ((0, 0), (3, 3), (2, 2), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(blit(images, np.tile(shifted, (3, 1, 1))), padded[:, 6:15, 0:9])


def test_warp_of_a_smooth_picture():
    """A cosine goes on as its own reflection, so its value is known at every place."""
    size = 16
    place = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(place, place)

    def picture(x, y):
        return np.cos(2 * np.pi * (x - place[0]) / (size - 1)) + 0.5 * np.cos(np.pi * (y - place[0]) / (size - 1))

    images = np.asarray(picture(x, y), np.float32)[None, :, :, None]
    cosine, sine = 1.3 * np.cos(0.7), 1.3 * np.sin(0.7)
    warped = warp(images, lookup([cosine, -sine, 0.4], [sine, cosine, -7.3]))
    expected = picture(cosine * x - sine * y + 0.4, sine * x + cosine * y - 7.3)
    np.testing.assert_allclose(warped[0, :, :, 0], expected, atol=0.02)


def test_blits_come_before_geometry():
    """A place of the result is looked up by the geometry, and what that finds by the blits: one resampling for both."""
    images = pictures(16, channels=4)

    @jax.jit
    def expected(images):
        blit_key, geometry_key, _ = jax.random.split(KEY, 3)
        blits, geometry = draw_blit(blit_key, 16, 1.0, 8), draw_geometry(geometry_key, 16, 1.0, 8)
        return augmentations.warp(images, blits @ geometry)

    np.testing.assert_allclose(augmented(images, 1, "bg"), expected(images), atol=1e-4)


def test_warp_does_not_alias():
    """Shrunk by 1.5, a checkerboard is finer than the pixels can show: grey, and not a coarser pattern."""
    place = np.arange(16)
    checkerboard = np.asarray((-1.0) ** np.add.outer(place, place), np.float32)[None, :, :, None]
    shrink = lookup([1.5, 0, 0], [0, 1.5, 0])
    assert np.std(warp(checkerboard, shrink)) < 0.02 < 0.9 < np.std(blit(checkerboard, shrink))


@pytest.mark.parametrize("p", [1.0, 0.36])
def test_distribution_of_geometry(p):
    n, size = 20_000, 64
    matrices = np.asarray(jax.jit(draw_geometry, static_argnums=(1, 3))(KEY, n, p, size))
    linear, shift = matrices[:, :2, :2], matrices[:, :2, 2:]
    np.testing.assert_array_equal(matrices[:, 2], np.tile([[0, 0, 1]], (n, 1)))
    assert np.abs(np.mean(linear, axis=0) - (1 - p) * np.eye(2)).max() < 0.03
    scale = 0.5 * np.log2(np.linalg.det(linear))
    assert np.std(scale) == pytest.approx(0.2 * p**0.5, rel=0.05)
    assert share(np.abs(scale) > 1e-5) == pytest.approx(p, abs=0.02)
    assert share((linear[:, 0, 1] != 0) | (linear[:, 1, 0] != 0)) == pytest.approx(p, abs=0.02)
    singular = np.linalg.svd(linear, compute_uv=False)
    stretch = 0.5 * np.log2(singular[:, 0] / singular[:, 1])
    assert np.sqrt(np.mean(stretch**2)) == pytest.approx(0.2 * p**0.5, rel=0.05)
    moved = np.linalg.solve(linear, shift)[..., 0]
    assert np.std(moved, axis=0) == pytest.approx(0.125 * size * p**0.5, rel=0.05)
    assert share(matrices == np.eye(3)) > share((matrices == np.eye(3)).all((1, 2))) > (1 - p) ** 4 - 0.02


def test_distribution_of_color():
    n, p = 20_000, 0.6
    brightness, matrices = map(np.asarray, jax.jit(draw_color, static_argnums=(1, 3))(KEY, n, p, 3))
    assert np.std(brightness) == pytest.approx(0.2 * p**0.5, rel=0.05)
    assert share(brightness != 0) == pytest.approx(p, abs=0.02)
    grey = matrices.sum(2)
    np.testing.assert_allclose(grey, np.tile(grey[:, :1], (1, 3)), atol=1e-5)  # greys stay grey
    assert np.std(np.log2(np.abs(grey[:, 0]))) == pytest.approx(0.5 * p**0.5, rel=0.05)
    assert share(grey[:, 0] < 0) == pytest.approx(p / 2, abs=0.02)
    # Across the greys: the hue turns, contrast and saturation scale.
    axes = np.linalg.qr(np.array([[1.0, 1, 0], [1, -1, 1], [1, 0, -1]]))[0][:, 1:]
    across = axes.T @ matrices @ axes
    scale = np.sqrt(np.linalg.det(across))
    turn = across / scale[:, None, None]
    np.testing.assert_allclose(turn @ turn.transpose(0, 2, 1), np.tile(np.eye(2)[None], (n, 1, 1)), atol=1e-5)
    saturation = np.log2(scale / np.abs(grey[:, 0]))
    assert np.std(saturation) == pytest.approx(p**0.5, rel=0.05)
    assert share(np.abs(saturation) < 1e-5) == pytest.approx(1 - p, abs=0.02)
    assert np.mean(turn, axis=0) == pytest.approx((1 - p) * np.eye(2), abs=0.02)


def test_share_of_images_left_alone():
    images, p = np.tile(pictures(1, 4), (3000, 1, 1, 1)), 0.3
    for pipeline, expected in (("geom", (1 - p) ** 4), ("color", (1 - p) ** 4 * (1 - p / 2))):
        same = (augmented(images, p, pipeline) == images).all((1, 2, 3))
        assert share(same) == pytest.approx(expected, abs=0.03), pipeline
        np.testing.assert_array_equal(augmented(images, 0, pipeline), images)


def test_grey_images():
    """One channel gets what three equal ones get."""
    images = pictures(16, channels=1)
    one = augmented(images, 0.9)
    assert np.abs(one - images).max() > 0.5
    three = augmented(np.tile(images, (1, 1, 1, 3)), 0.9)
    np.testing.assert_allclose(three, np.tile(one, (1, 1, 1, 3)), atol=1e-5)


def test_gradients():
    """Linear but for an offset; forward and backward agree; a penalty on gradients can be trained through it."""
    images = pictures(16)
    step, cotangent = np.float32(0.1) * images[::-1], images[:, ::-1]

    def transform(images):
        return augment(KEY, images, 0.8)

    def penalty(weight):
        return jnp.sum(
            r1_penalty(lambda x: weight * jnp.sum(transform(x) ** 2, (1, 2, 3))[:, None], jnp.asarray(images))
        )

    @jax.jit
    def forward_and_backward(x, dx, dy):
        _, pushforward = jax.linearize(transform, x)
        (gradient,) = jax.linear_transpose(pushforward, x)(dy)
        return pushforward(dx), gradient

    change, gradient = map(np.asarray, forward_and_backward(images, step, cotangent))
    np.testing.assert_allclose(change, augmented(images + step, 0.8) - augmented(images, 0.8), atol=1e-5)
    assert np.vdot(change, cotangent) == pytest.approx(np.vdot(step, gradient), rel=1e-4)
    value, slope = jax.jit(jax.value_and_grad(penalty))(np.float32(1.5))
    assert float(slope) == pytest.approx(2 * float(value) / 1.5, rel=1e-4)


def test_every_image_has_its_own_draws():
    images = np.tile(pictures(1), (16, 1, 1, 1))
    results = augmented(images, 0.9)
    assert len({image.tobytes() for image in results}) == 16
    assert not np.array_equal(augmented(images, 0.9, key=jax.random.key(7)), results)
    np.testing.assert_array_equal(augmented(images, 0.9), results)


def test_a_batch_spread_over_devices():
    """The same images, and no device asks another."""
    mesh = jax.make_mesh((8,), ("b",), axis_types=(AxisType.Auto,))
    images = pictures(16)
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("b")))
    program = compiled.lower(KEY, spread, np.float32(0.9), "bgc").compile()
    assert "all-gather" not in str(program.as_text())
    np.testing.assert_allclose(program(KEY, spread, np.float32(0.9)), augmented(images, 0.9), atol=1e-5)


def test_refusals():
    with pytest.raises(
        ValueError, match="unknown augmentation pipeline 'bgcf': choose one of blit, geom, color, bg, bgc"
    ):
        augment(KEY, jnp.asarray(pictures(1)), 0.5, "bgcf")
    with pytest.raises(ValueError, match="square ones of at least 2 pixels, got 8x6"):
        augment(KEY, jnp.asarray(pictures(1)[:, :, :6]), 0.5, "blit")
    with pytest.raises(ValueError, match='1 or 3 channels, got 2: choose pipeline="bg"'):
        augment(KEY, jnp.asarray(pictures(1, channels=2)), 0.5)


def test_next_probability():
    """0.6 is the target; from 0 to 1 within 500 thousand images; no less than 0, and more than 1 is not cut off."""
    p = jnp.float32(0)
    for _ in range(100):
        p = next_probability(p, jnp.float32(0.9), batch_size=1250)
    assert float(p) == pytest.approx(1.0, rel=1e-5)
    assert float(next_probability(p, 1.0, 1250)) == pytest.approx(1.01, rel=1e-5)
    assert float(next_probability(p, 0.59, 32)) == pytest.approx(1 - 32 * 4 / 500_000, rel=1e-6)
    assert float(next_probability(0.5, 0.6, 32)) == 0.5
    assert float(next_probability(0.5, -0.2, 64, interval=8, target=-0.5, kimg=100)) == pytest.approx(0.50512)
    assert float(jax.jit(next_probability, static_argnums=2)(1e-5, 0.0, 32)) == 0.0
