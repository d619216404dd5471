"""Inversion in pieces: what goes on from what, and what happens at a cut."""

import numpy as np

from disentangle_jax.configs import inversion
from disentangle_jax.inversion import Inversion
from disentangle_jax.inversion.pieces import Piece, invert_pieces, joined, piece_size


def images(levels):
    return [np.full((2, 2, 3), level, np.float32) for level in levels]


class Inverter:
    """Finds an image's level, at a PSNR that falls with the distance from where it begins."""

    def __init__(self):
        self.calls = []

    def __call__(self, images, *, clip, before=None):
        level = images[:, 0, 0, 0]
        start = level[0] if before is None else before.ws[-1, 0, 0]
        self.calls.append((len(images), None if before is None else float(start)))
        psnr = 40 - 100 * np.abs(level - start)
        return Inversion(level[:, None, None], images, psnr, 0 * psnr, {})


def test_pieces_of_a_clip_go_on_from_each_other_and_photos_do_not():
    invert = Inverter()
    found = joined(invert_pieces(images([0.0, 0.01, 0.02, 0.03, 0.04]), invert, 2, clip=True))
    np.testing.assert_allclose(found.ws[:, 0, 0], [0.0, 0.01, 0.02, 0.03, 0.04])
    assert [(count, before and round(before, 2)) for count, before in invert.calls] == [(2, None), (2, 0.01), (1, 0.03)]
    invert = Inverter()
    joined(invert_pieces(images([0.0, 0.01, 0.02]), invert, 2, clip=False))
    assert invert.calls == [(2, None), (1, None)]


def test_a_piece_after_a_cut_begins_anew():
    invert = Inverter()
    found = joined(invert_pieces(images([0.0, 0.0, 0.9, 0.9, 0.9, 0.9]), invert, 2, clip=True))
    assert found.psnr is not None
    np.testing.assert_allclose(found.psnr, 40.0)
    assert [before for _, before in invert.calls] == [None, 0.0, None, np.float32(0.9)]


def test_a_piece_that_is_no_better_alone_goes_on_from_the_one_before():
    def invert(images, *, clip, before=None):
        psnr = np.full(len(images), 40.0 if images[0, 0, 0, 0] == 0 else 20.0)
        return Inversion(np.full((len(images), 1, 1), before is None), images, psnr, psnr, {})

    found = joined(invert_pieces(images([0.0, 1.0]), invert, 1, clip=True))
    assert found.ws[:, 0, 0].tolist() == [True, False]


def test_a_piece_is_of_whole_batches():
    settings = inversion.get_config()
    for per_piece, batch_size, resolution, size in (
        (64, 0, 64, 64),
        (64, 0, 1024, 64),
        (4, 0, 64, 4),
        (64, 48, 64, 48),
        (64, 100, 64, 100),
    ):
        settings.images_per_piece, settings.batch_size = per_piece, batch_size
        assert piece_size(settings, resolution) == size


def test_latents_that_did_not_come_from_pictures_have_no_psnr():
    ws = np.zeros((2, 1, 3))
    whole = joined([Piece(ws, None, None), Piece(ws, None, None)])
    assert (whole.ws.shape, whole.psnr, whole.deviations) == ((4, 1, 3), None, None)
