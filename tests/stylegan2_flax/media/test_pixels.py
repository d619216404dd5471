import numpy as np
import pytest
from PIL import Image

from stylegan2_flax import media

RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def test_bytes_survive_the_way_there_and_back():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    floats = media.from_uint8(pixels)
    assert floats.dtype == np.float32
    assert (floats.min(), floats.max()) == (-1, 1)
    assert np.array_equal(media.to_uint8(floats), pixels)


def test_what_is_out_of_range_is_clipped_and_nan_refused():
    wild = np.array([-9.0, 0.0, 9.0], np.float32).reshape(1, 3, 1)
    assert media.to_uint8(wild).ravel().tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match="NaN"):
        media.to_uint8(np.full((2, 2, 3), np.nan, np.float32))


def test_a_grid_has_its_images_where_they_belong():
    cells, left, top = images(2, 3, 5, 4, 3), images(2, 5, 6, 3), images(3, 7, 4, 3)
    plain = media.image_grid(cells, gap=1)
    assert plain.shape == (11, 14, 3)
    assert np.array_equal(plain[6:11, 10:14], cells[1, 2])
    assert np.all(plain[5] == 1)
    full = media.image_grid(cells, row_headers=left, column_headers=top, gap=1)
    assert full.shape == (11 + 7 + 4, 14 + 6 + 4, 3)
    assert np.array_equal(full[11:16, 10:14], cells[0, 0])
    assert np.array_equal(full[11:16, :6], left[0])
    assert np.array_equal(full[:7, 20:24], top[2])
    assert np.all(full[:7, :6] == 1)


def test_a_grid_of_bytes_is_that_of_floats():
    cells, left, top = images(2, 3, 5, 4, 3), images(2, 5, 6, 3), images(3, 7, 4, 3)
    as_bytes, top_bytes, corner = media.to_uint8(cells), media.to_uint8(top), images(7, 6, 3)
    floats = media.image_grid(cells, row_headers=left, column_headers=top_bytes, corner=corner)
    pixels = media.image_grid(as_bytes, row_headers=left, column_headers=top, corner=corner)
    assert floats.dtype == np.float32
    assert pixels.dtype == np.uint8
    assert np.array_equal(media.to_uint8(floats), pixels)


def test_resizing_keeps_colours_and_leaves_the_right_size_alone():
    flat = np.full((2, 8, 8, 3), 0.5, np.float32)
    assert np.allclose(media.resize(flat, 20), 0.5, atol=0.01)
    assert media.resize(images(2, 3, 8, 8, 3), 12).shape == (2, 3, 12, 12, 3)
    same = images(1, 8, 8, 3)
    assert np.array_equal(media.resize(same, 8), same)


def test_pictures_of_any_number_of_channels_are_shown_in_colour():
    grey, rgb = np.full((2, 4, 4, 1), 0.5, np.float32), np.full((4, 4, 3), 0.25, np.float32)
    np.testing.assert_array_equal(media.to_rgb(grey), np.full((2, 4, 4, 3), 0.5))
    np.testing.assert_array_equal(media.to_rgb(rgb), rgb)
    clear, half = (np.concatenate([rgb, np.full((4, 4, 1), alpha, np.float32)], axis=-1) for alpha in (-1.0, 0.0))
    np.testing.assert_array_equal(media.to_rgb(clear), 1.0)
    np.testing.assert_allclose(media.to_rgb(half), 0.625)
    with pytest.raises(ValueError, match="pictures of 2 channels cannot be shown"):
        media.to_rgb(np.zeros((4, 4, 2), np.float32))
    pixels = media.to_uint8(np.concatenate([rgb, np.zeros((4, 4, 1), np.float32)], axis=-1))
    assert media.to_rgb(pixels).dtype == np.uint8
    np.testing.assert_allclose(media.from_uint8(media.to_rgb(pixels)), 0.625, atol=0.01)


def test_rgb_becomes_what_a_generator_of_other_channels_draws():
    pixels = RNG.integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in pixels])
    assert np.abs(media.from_rgb(pixels, 1)[..., 0].astype(int) - grey).max() <= 1
    assert media.from_rgb(pixels, 3) is pixels
    assert np.array_equal(media.from_rgb(pixels, 4)[..., :3], pixels)
    assert np.all(media.from_rgb(pixels, 4)[..., 3] == 255)
    with pytest.raises(ValueError, match="1, 3 or 4 channels, not 2"):
        media.from_rgb(pixels, 2)
