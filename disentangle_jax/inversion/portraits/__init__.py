"""Faces in photographs and videos: found, cut out as FFHQ's generators expect them, and pasted back."""

from disentangle_jax.inversion.portraits.aligned import Aligned, align
from disentangle_jax.inversion.portraits.finding import (
    DLIB,
    FaceFinder,
    NoFaceError,
    SeveralFacesError,
    define_finder_flag,
    load_finder,
)
from disentangle_jax.inversion.portraits.framed import Framed
from disentangle_jax.inversion.portraits.placement import ALIGN, Placement, alignment, place, tell_licence
from disentangle_jax.inversion.portraits.square import Square, central_square, crop, ffhq_square, paste
from disentangle_jax.inversion.portraits.tracking import smooth

__all__ = [
    "ALIGN",
    "DLIB",
    "Aligned",
    "FaceFinder",
    "Framed",
    "NoFaceError",
    "Placement",
    "SeveralFacesError",
    "Square",
    "align",
    "alignment",
    "central_square",
    "crop",
    "define_finder_flag",
    "ffhq_square",
    "load_finder",
    "paste",
    "place",
    "smooth",
    "tell_licence",
]
