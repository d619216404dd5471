"""What finds faces: dlib, from the extra `portraits`, or any callable in its place."""

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
from absl import flags
from jaxtyping import Float, Shaped, UInt8

from disentangle_jax.inversion.portraits.dlib_faces import make_face_finder
from disentangle_jax.inversion.portraits.square import Square, ffhq_square
from stylegan2_flax import plugins

FaceFinder = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "n k 2"]]
"""A picture to the landmarks of the n faces in it, x and y in pixels, as `ffhq_square` takes them; n may be 0."""

DLIB = "dlib"


class NoFaceError(ValueError):
    """There is no face in a picture, or in any frame of a video."""


class SeveralFacesError(ValueError):
    """There are several faces where one is wanted."""


def load_finder(name: str = DLIB) -> FaceFinder:
    """What finds faces, by name: "dlib", or package.module:factory, a factory without arguments.

    Raises:
        ValueError: there is no such factory, or what it returns cannot be called.
        ImportError: dlib or its models are not installed.
    """
    if name == DLIB:
        return make_face_finder()
    return _load_factory(name)


@cache  # a network, perhaps, which every photo of a folder asks for
def _load_factory(name: str) -> FaceFinder:
    unknown = f"unknown face finder {name!r}: say {DLIB}, or a factory as package.module:factory"
    finder = plugins.import_factory(name, unknown)()
    if not callable(finder):
        raise ValueError(f"the face finder {name!r} is a {type(finder).__name__}: it must be a callable")
    return cast(FaceFinder, finder)


def define_finder_flag(flag_values: flags.FlagValues) -> flags.FlagHolder[str]:
    """Define --face_finder, whose value `load_finder` takes."""
    return flags.DEFINE_string(
        "face_finder",
        DLIB,
        "what finds the landmarks of the faces that are aligned: dlib, or package.module:factory",
        flag_values=flag_values,
    )


def find_landmarks(image: Shaped[np.ndarray, "..."], find: FaceFinder) -> Float[np.ndarray, "n k 2"]:
    """The landmarks of all faces, those of the largest face first.

    Raises:
        ValueError: the image is no [h, w, 3] of uint8, or the finder returns something else than landmarks.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"faces are looked for in RGB pictures [h, w, 3] of uint8; got {image.dtype} of {list(image.shape)}: of a "
            "grey picture repeat the channel"
        )
    found = np.asarray(find(np.ascontiguousarray(image)))
    if found.ndim != 3 or found.shape[1:] not in ((68, 2), (5, 2)):
        raise ValueError(f"a face finder gives landmarks [n, 68, 2] or [n, 5, 2]; this one gave {list(found.shape)}")
    sides = np.array([ffhq_square(landmarks).side for landmarks in found])
    return found[np.argsort(-sides, kind="stable")].astype(np.float64)


def find_squares(image: Shaped[np.ndarray, "..."], find: FaceFinder) -> list[Square]:
    """FFHQ's squares of all faces, the largest first."""
    return [ffhq_square(landmarks) for landmarks in find_landmarks(image, find)]


def no_face(num_frames: int, height: int, width: int) -> str:
    """What to tell if no face is found in any of the frames."""
    where = "this picture" if num_frames == 1 else f"any of {num_frames} frames"
    return (
        f"no face is found in {where} of {width}x{height}: found are upright faces that look at the camera and take up "
        "a twentieth of the width at least; cut it, or align it yourself"
    )
