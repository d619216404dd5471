"""One picture: the faces in it as aligned crops."""

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from disentangle_jax.inversion.portraits.finding import (
    FaceFinder,
    NoFaceError,
    SeveralFacesError,
    find_squares,
    load_finder,
    no_face,
)
from disentangle_jax.inversion.portraits.square import Square, crop, outside_share

FACES = ("all", "largest", "one")

_SOFT = 0.4  # side of the square over that of the crop, below which a crop is visibly soft
_OUTSIDE = 0.2  # share of the square that may lie outside of the picture without a word


class Aligned(NamedTuple):
    """The faces of a picture, the largest first.

    Attributes:
        crops: their crops.
        transforms: where each of them lies in the picture; `paste` takes it to paste a crop back.
    """

    crops: UInt8[np.ndarray, "n size size 3"]
    transforms: tuple[Square, ...]


def align(
    image: Shaped[np.ndarray, "..."], size: int, *, faces: str = "all", find: FaceFinder | None = None
) -> Aligned:
    """Cut the faces out of a picture as FFHQ shows them, which its generators and encoders expect.

        crops, transforms = align(image, 256)
        image = paste(image, changed_crop, transforms[0])

    It warns if a crop will be soft, since its face is small, or lies to a good part outside of the picture.

    Args:
        image: the picture, [h, w, 3] of uint8.
        size: pixels of a side of the crops.
        faces: "all", "largest", or "one", for a picture that must show only one.
        find: finds the landmarks of faces; dlib's if None, see `load_finder`.

    Raises:
        NoFaceError: no face is found. This is a ValueError.
        SeveralFacesError: several are found where one is wanted. This is a ValueError.
        ValueError: the image is no [h, w, 3] of uint8, or `faces` is something else.
        ImportError: dlib or its models are not installed, and no other finder is given.
    """
    if faces not in FACES:
        raise ValueError(f"faces must be one of {', '.join(FACES)}; got {faces!r}")
    squares = find_squares(image, find or load_finder())
    height, width, _ = image.shape
    if not squares:
        raise NoFaceError(no_face(1, height, width))
    if faces == "one" and len(squares) > 1:
        raise SeveralFacesError(
            f"there are {len(squares)} faces in this picture of {width}x{height}, and one is wanted: take the largest, "
            "or cut the picture"
        )
    squares = squares if faces == "all" else squares[:1]
    for square in squares:
        if remark := remark_on(square, height, width, size):
            warnings.warn(remark, stacklevel=2)
    return Aligned(np.stack([crop(image, square, size) for square in squares]), tuple(squares))


def remark_on(square: Square, height: int, width: int, size: int) -> str:
    """What will trouble a crop of `size` pixels of such a picture, in a sentence; empty if nothing will."""
    if square.side < _SOFT * size:
        return (
            f"the face is small, {square.side:.0f} pixels with its hair: enlarged to {size} pixels it is soft, and so "
            "will be the result"
        )
    if (share := outside_share(square, height, width)) > _OUTSIDE:
        return f"{share:.0%} of the face's square lie outside of the picture and were made up by reflection"
    return ""
