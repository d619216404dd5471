import stylegan2_flax.media
from disentangle_jax import media


def test_text_is_wrapped_to_its_cell():
    short, long = media.text_cells(["ours"], 120), media.text_cells(["ours", "autoencoder without any contrast"], 120)
    assert short.shape[2] == long.shape[2] == 120
    assert long.shape[1] > short.shape[1]
    assert short.min() < 0.5  # something is written
    assert media.text_cells([""], 10, 12).shape == (1, 12, 10, 3)


def test_all_else_is_that_of_the_package_below():
    shared = set(media.__all__) - {"text_cells"}
    assert all(getattr(media, name) is getattr(stylegan2_flax.media, name) for name in shared)
