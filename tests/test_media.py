import numpy as np

import stylegan2_flax.media
from disentangle_jax import media


def test_text_is_wrapped_to_its_cell():
    short, long = media.text_cells(["ours"], 120), media.text_cells(["ours", "autoencoder without any contrast"], 120)
    assert short.shape[2] == long.shape[2] == 120
    assert long.shape[1] > short.shape[1]
    assert short.min() < 0.5  # something is written
    assert media.text_cells([""], 10, 12).shape == (1, 12, 10, 3)


def test_columns_stand_under_their_titles():
    black, white = (np.full((2, 8, 8, 3), value, np.float32) for value in (-1.0, 1.0))
    figure = media.titled_columns({"black": black, "white": white}, 60)
    height = figure.shape[0] - 2 * 60 - media.GAP
    assert height > 10  # of the titles
    assert figure.shape[1] == 2 * 60 + media.GAP
    assert np.all(figure[height : height + 60, :60] == -1)
    assert np.all(figure[height:, 60:] == 1)
    assert figure[:height, :60].min() < 0.5


def test_all_else_is_that_of_the_package_below():
    shared = set(media.__all__) - {"text_cells", "titled_columns"}
    assert all(getattr(media, name) is getattr(stylegan2_flax.media, name) for name in shared)
