import numpy as np
import pytest

import stylegan2_flax.media
from disentangle_jax import media


def test_text_is_wrapped_to_its_cell():
    short, long = media.text_cells(["ours"], 120), media.text_cells(["ours", "autoencoder without any contrast"], 120)
    assert short.shape[2] == long.shape[2] == 120
    assert long.shape[1] > short.shape[1]
    assert short.min() < 0.5  # something is written
    assert media.text_cells([""], 10, 12).shape == (1, 12, 10, 3)


def test_all_else_is_that_of_the_package_below():
    shared = set(media.__all__) - {"text_cells", "to_rgb"}
    assert all(getattr(media, name) is getattr(stylegan2_flax.media, name) for name in shared)


def test_pictures_of_any_number_of_channels_are_shown_in_colour():
    grey, rgb = np.full((2, 4, 4, 1), 0.5, np.float32), np.full((4, 4, 3), 0.25, np.float32)
    np.testing.assert_array_equal(media.to_rgb(grey), np.full((2, 4, 4, 3), 0.5))
    np.testing.assert_array_equal(media.to_rgb(rgb), rgb)
    clear, half = (np.concatenate([rgb, np.full((4, 4, 1), alpha, np.float32)], axis=-1) for alpha in (-1.0, 0.0))
    np.testing.assert_array_equal(media.to_rgb(clear), 1.0)
    np.testing.assert_allclose(media.to_rgb(half), 0.625)
    with pytest.raises(ValueError, match="pictures of 2 channels cannot be shown"):
        media.to_rgb(np.zeros((4, 4, 2), np.float32))
