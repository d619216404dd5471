"""The squares of photographs and videos: what --align means, gaps, other faces, trembling."""

import re

import numpy as np
import pytest

from disentangle_jax.inversion import portraits
from disentangle_jax.inversion.portraits import Square, place, smooth, tracking


def test_only_generators_that_may_be_of_photographed_faces_are_aligned_by_themselves():
    def alignment(choice, has_domain=False, resolution=256, channels=3):
        return portraits.alignment(choice, has_domain=has_domain, resolution=resolution, channels=channels)

    assert alignment("auto") == "auto"
    assert alignment("auto", has_domain=True) == "none"
    assert alignment("auto", resolution=64) == "none"
    assert alignment("auto", channels=1) == "none"
    assert alignment("ffhq", has_domain=True, resolution=64) == "ffhq"
    assert alignment("none") == "none"
    with pytest.raises(ValueError, match="--align=ffhq is for generators of RGB images"):
        alignment("ffhq", channels=1)
    with pytest.raises(ValueError, match="--align must be one of auto, ffhq, none; got 'yes'"):
        alignment("yes")


def test_where_there_is_no_face_the_middle_is_taken_or_refused(find_dots, draw_dots):
    still = [draw_dots()]
    middle = Square(150.0, 100.0, 200.0, 0.0)
    found = place(still * 3, "auto", 64, find=find_dots)
    assert found.squares == (middle,) * 3
    assert not found.aligned
    assert found.remarks[0].startswith("the middle is taken, since no face is found in any of 3 frames of 300x200")
    with pytest.raises(portraits.NoFaceError, match="no face is found in this picture of 300x200"):
        place(still, "ffhq", 64, find=find_dots)
    assert place([draw_dots((60, 80, 40))], "none", 64, find=find_dots) == ((middle,), False, ())
    with pytest.raises(ValueError, match="no frames"):
        place([], "none", 64)


def test_a_lost_face_is_interpolated_and_no_other_face_takes_its_place(find_dots, draw_dots):
    buffer = draw_dots()

    def frames():  # that share their memory: none may be kept
        for t in range(12):
            face = [(100 + 4 * t, 90, 60)] if t not in (0, 5, 6, 11) else []
            buffer[:] = draw_dots(*face, (270, 150, 40))[: buffer.shape[0]] if t else draw_dots()
            yield buffer

    found = place(frames(), "auto", 64, find=find_dots, fps=0.0)
    xs = [square.x - 0.5 for square in found.squares]
    np.testing.assert_allclose(xs, [104, *(100 + 4 * t for t in range(1, 11)), 140], atol=1e-6)
    assert "not found in 4 of 12 frames, the first of them frame 0: its place there is interpolated" in found.remarks[0]
    assert found.remarks[1] == "there are 2 faces in a frame: the largest of the first frame with any is followed"


def test_a_face_that_reappears_elsewhere_is_followed_again(find_dots, draw_dots):
    left, right = draw_dots((50, 100, 30)), draw_dots((250, 100, 30))
    path = tracking.follow(tracking.observe([left, left, *[right] * 9], find_dots).squares)
    assert path[2] is None
    assert path[-1] is not None
    assert round(path[-1].x) == 250


def shake(squares):
    """How much squares tremble: the mean length of the second differences of their corners over time, in sides."""
    corners = np.stack([square.corners() for square in squares])
    lengths = np.linalg.norm(np.diff(corners, n=2, axis=0), axis=-1)
    return lengths.mean() / np.mean([square.side for square in squares])


def test_smoothing_stills_trembling_without_lag():
    rng = np.random.default_rng(0)
    times = np.arange(80)
    steady = [Square(100 + 2.0 * t, 80.0, 60.0, 3.1 + 0.002 * t) for t in times]
    noise = rng.normal(size=(80, 4)) * [1, 1, 1, 0.02]
    trembling = [Square(*(np.array(square) + n).tolist()) for square, n in zip(steady, noise, strict=True)]
    calm = smooth(trembling, 5.0)
    assert shake(calm) < 0.05 * shake(trembling)
    error = np.abs(np.array(calm) - np.array(steady))[20:60]
    assert (error.max(axis=0) < [1, 1, 1, 0.02]).all()
    assert smooth(trembling, 0.0) == tuple(trembling)


def test_a_talking_mans_square_does_not_tremble(carphone, find_with_dlib):
    rough = place(carphone, "ffhq", 128, find=find_with_dlib, fps=0.0)
    calm = rough._replace(squares=smooth(rough.squares, 5.0))
    assert shake(calm.squares) < 0.15 * shake(rough.squares)
    (remark,) = calm.remarks
    assert re.match(r"the face is not found in \d of 18 frames, the first of them frame 1\d: ", remark)
    assert np.std([square.side for square in calm.squares]) < 5
    crops = [portraits.crop(frame, square, 64) for frame, square in zip(carphone, calm.squares, strict=True)]
    back = portraits.paste(carphone[3], crops[3], calm.squares[3])
    assert 10 * np.log10(255**2 / np.mean((back.astype(float) - carphone[3]) ** 2)) > 35
