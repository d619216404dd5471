"""What part of a photograph or a video a generator is shown: what --align=auto, ffhq and none mean."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from disentangle_jax.inversion.portraits.aligned import remark_on
from disentangle_jax.inversion.portraits.dlib_faces import LICENCE
from disentangle_jax.inversion.portraits.finding import DLIB, FaceFinder, NoFaceError, load_finder, no_face
from disentangle_jax.inversion.portraits.square import Square, central_square
from disentangle_jax.inversion.portraits.tracking import Observed, fill, follow, observe, smooth

ALIGN = ("auto", "ffhq", "none")

SMOOTHING = 0.2
"""Seconds: the standard deviation of the Gaussian that smooths squares over time; see `smooth`."""

_FACE_SIZE = 128  # pixels: the least resolution of generators that are taken for those of photographed faces


class Placement(NamedTuple):
    """The square of every frame that a generator is shown; a photograph is one frame.

    Attributes:
        squares: for `crop` and `paste`.
        aligned: whether they are FFHQ's squares of a face.
        remarks: sentences for the user: faces that were not found, passed over, small or cut.
    """

    squares: tuple[Square, ...]
    aligned: bool
    remarks: tuple[str, ...]


def alignment(choice: str, *, has_domain: bool, resolution: int, channels: int) -> str:
    """What --align comes to for a generator: "none", "ffhq", or "auto", where it is up to whether there is a face.

    Args:
        choice: one of `ALIGN`. "auto" becomes "none" for all generators but those that may be of photographed faces.
        has_domain: whether a package registers the generator or its domain.
        resolution, channels: of its images.

    Raises:
        ValueError: the choice is none of these, or "ffhq" is asked of a generator whose images have no 3 channels.
    """
    if choice not in ALIGN:
        raise ValueError(f"--align must be one of {', '.join(ALIGN)}; got {choice!r}")
    if choice == "ffhq" and channels != 3:
        raise ValueError(f"--align=ffhq is for generators of RGB images; this one's have {channels} channels")
    if choice == "auto" and (has_domain or channels != 3 or resolution < _FACE_SIZE):
        return "none"
    return choice


def place(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    wanted: str,
    size: int,
    *,
    find: FaceFinder | None = None,
    fps: float = 25.0,
) -> Placement:
    """Find the square of every frame, reading the frames once and keeping none.

    Of several faces the largest is taken, in a video the largest of the first frame with any. Frames in which it is not
    found get an interpolated square.

    Args:
        frames: those of a video, or one photograph.
        wanted: what `alignment` returned. "none" takes the middle of the frames; so does "auto" if there is no face.
        size: pixels of a side of the crops that are to come.
        find: finds the landmarks of faces; dlib's if None, see `load_finder`.
        fps: frames per second of a video; the squares are smoothed over `SMOOTHING` seconds.

    Raises:
        NoFaceError: "ffhq" is wanted, and there is no face. This is a ValueError.
        ValueError: there is no frame.
        ImportError: dlib or its models are needed and not installed.
    """
    observed = observe(frames, _find_none if wanted == "none" else find or load_finder())
    num_frames, height, width = len(observed.squares), observed.height, observed.width
    if not any(observed.squares):
        problem = no_face(num_frames, height, width)
        if wanted == "ffhq":
            raise NoFaceError(problem)
        remarks = () if wanted == "none" else (f"the middle is taken, since {problem}",)
        return Placement((central_square(height, width),) * num_frames, False, remarks)
    path = follow(observed.squares)
    squares = smooth(fill(path), SMOOTHING * fps)
    return Placement(squares, True, tuple(_remarks(observed, path, squares, size)))


def tell_licence(placements: Iterable[Placement], face_finder: str) -> None:
    """Print the licence of dlib's landmarks, if faces were aligned by them."""
    if face_finder == DLIB and any(placement.aligned for placement in placements):
        print(f"Note: {LICENCE}")


def _find_none(image: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
    return np.zeros((0, 5, 2))


def _remarks(observed: Observed, path: Sequence[Square | None], squares: Sequence[Square], size: int) -> list[str]:
    """What the user should know of the faces, a sentence each."""
    remarks = []
    lost = [i for i, square in enumerate(path) if square is None]
    if lost:
        remarks.append(
            f"the face is not found in {len(lost)} of {len(path)} frames, the first of them frame {lost[0]}: its place "
            "there is interpolated"
        )
    crowd = max(map(len, observed.squares))
    if crowd > 1:
        which = "largest is taken" if len(path) == 1 else "largest of the first frame with any is followed"
        remarks.append(f"there are {crowd} faces{'' if len(path) == 1 else ' in a frame'}: the {which}")
    typical = sorted(squares, key=lambda square: square.side)[len(squares) // 2]
    if remark := remark_on(typical, observed.height, observed.width, size):
        remarks.append(remark)
    return remarks
