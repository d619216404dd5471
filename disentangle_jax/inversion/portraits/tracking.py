"""One face through a video: its square in every frame, without trembling and without gaps.

A video is gone through twice: `observe` reads every frame once and keeps four numbers of each face; the frames are cut
out in a second pass. So memory does not grow with the video but by these numbers.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from disentangle_jax.inversion.portraits.finding import FaceFinder, find_squares
from disentangle_jax.inversion.portraits.square import Square

_REACH = 0.5  # sides that a face moves from one frame to the next, at most
_GROWTH = 2.0  # how many times larger or smaller it becomes, at most


class Observed(NamedTuple):
    """The faces in a video.

    Attributes:
        squares: those of each frame, the largest first.
        height, width: of the frames.
    """

    squares: tuple[tuple[Square, ...], ...]
    height: int
    width: int


def observe(frames: Iterable[UInt8[np.ndarray, "h w 3"]], find: FaceFinder) -> Observed:
    """Find the faces in every frame; the frames are read once, one by one.

    Raises:
        ValueError: there is no frame, or frames are no [h, w, 3] of uint8.
    """
    squares, shape = [], None
    for frame in frames:
        squares.append(tuple(find_squares(frame, find)))
        shape = frame.shape
    if shape is None:
        raise ValueError("the video has no frames")
    return Observed(tuple(squares), *shape[:2])


def follow(squares: Sequence[Sequence[Square]]) -> list[Square | None]:
    """The face that is largest in the first frame with any, in every frame; None where it is not found."""
    path: list[Square | None] = []
    last, missed = None, 0
    for candidates in squares:
        square = _same(candidates, last, missed)
        path.append(square)
        last, missed = (last, missed + 1) if square is None else (square, 0)
    return path


def fill(path: Sequence[Square | None]) -> tuple[Square, ...]:
    """Gaps interpolated linearly, and filled with the nearest square at the ends. There must be a square."""
    known = [i for i, square in enumerate(path) if square is not None]
    numbers = _numbers([square for square in path if square is not None])
    times = np.arange(len(path))
    return _squares(np.stack([np.interp(times, known, column) for column in numbers.T], axis=-1))


def smooth(squares: Sequence[Square], frames: float) -> tuple[Square, ...]:
    """Squares smoothed over time with a Gaussian, which is symmetric: they do not lag behind.

    Args:
        squares: one for each frame; at the ends they are continued as they are.
        frames: standard deviation of the Gaussian, for place, logarithm of the side, and angle; 0 changes nothing.
    """
    from scipy.ndimage import gaussian_filter1d  # slow to import, and most commands never need it

    if frames <= 0:
        return tuple(squares)
    return _squares(gaussian_filter1d(_numbers(squares), frames, axis=0, mode="nearest"))


def _same(candidates: Sequence[Square], last: Square | None, missed: int) -> Square | None:
    """The candidate that continues the last square, which may have gone the farther the longer it was missed."""
    if last is None:
        return candidates[0] if candidates else None
    steps = missed + 1

    def distance(square: Square) -> float:
        return math.hypot(square.x - last.x, square.y - last.y)

    near = [
        square
        for square in candidates
        if distance(square) <= steps * _REACH * last.side
        and abs(math.log(square.side / last.side)) <= steps * math.log(_GROWTH)
    ]
    return min(near, key=distance, default=None)


def _numbers(squares: Sequence[Square]) -> Float[np.ndarray, "t 4"]:
    """Numbers that may be averaged: the side by its logarithm, the angle without jumps of a whole turn."""
    x, y, side, angle = np.array(squares, np.float64).T
    return np.stack([x, y, np.log(side), np.unwrap(angle)], axis=-1)


def _squares(numbers: Float[np.ndarray, "t 4"]) -> tuple[Square, ...]:
    return tuple(Square(x, y, math.exp(side), angle) for x, y, side, angle in numbers.tolist())
