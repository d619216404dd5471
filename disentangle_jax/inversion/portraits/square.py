"""The square of a picture that a generator is shown: where it lies, how it is cut out, how it is pasted back."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

_FADE = 0.3  # sides beyond the picture's edge where nothing but the median color is left
_EDGE = 3  # pixels around what is sampled, more than the bicubic filter reaches
_BLUR = 0.02  # sides, the standard deviation of the blur there


class TooSmallError(ValueError):
    """A picture has too few pixels to be shown."""


class Square(NamedTuple):
    """A square within a picture, or reaching beyond it.

    Attributes:
        x, y: its center in pixels from the picture's upper left corner; the first pixel's center is at 0.5, 0.5.
        side: its side in pixels.
        angle: of its upper edge in radians, clockwise as it is seen: the roll of a head.
    """

    x: float
    y: float
    side: float
    angle: float

    def corners(self) -> Float[np.ndarray, "4 2"]:
        """x and y of the upper left, lower left, lower right and upper right corner."""
        along, down = self._axes()
        signs = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) / 2
        return np.array([self.x, self.y]) + signs @ np.stack([along, down])

    def into_picture(self, size: int) -> Float[np.ndarray, "2 3"]:
        """The affine map from a crop of `size` pixels, edge to edge, to the picture."""
        axes = np.stack(self._axes(), axis=1)
        return np.column_stack([axes / size, np.array([self.x, self.y]) - axes.sum(axis=1) / 2])

    def into_crop(self, size: int) -> Float[np.ndarray, "2 3"]:
        """The affine map from the picture to a crop of `size` pixels: the inverse of `into_picture`."""
        forth = self.into_picture(size)
        back = np.linalg.inv(forth[:, :2])
        return np.column_stack([back, -back @ forth[:, 2]])

    def _axes(self) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
        """Vectors along the upper edge and down the left edge."""
        cos, sin = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        return np.array([cos, sin]), np.array([-sin, cos])


def central_square(height: int, width: int) -> Square:
    """The largest upright square in the middle of a picture. Raises TooSmallError if that is a single pixel."""
    if min(height, width) < 2:
        raise TooSmallError(f"a picture of {width} x {height} pixels shows nothing: give one of 2 x 2 at least")
    return Square(width / 2, height / 2, float(min(height, width)), 0.0)


def ffhq_square(landmarks: Float[np.ndarray, "k 2"]) -> Square:
    """The square that pictures of FFHQ show of a face, after Karras et al. 2018 (arXiv:1710.10196, appendix C).

    With e from eye to eye and m from the middle of the eyes to the middle of the mouth, its upper edge has the
    direction of e - (m turned by a right angle), its side is max(4 |e|, 3.6 |m|), its center lies 0.1 m below the eyes.

    Args:
        landmarks: x and y in pixels, the first pixel's center at 0, 0: either 68 as iBUG 300-W numbers them, or 5, the
            eyes, the nose and the corners of the mouth, each pair from left to right as it is seen.

    Raises:
        ValueError: there are other numbers of landmarks, or eyes and mouth are at one place.
    """
    left_eye, right_eye, *mouth = _eyes_and_mouth(np.asarray(landmarks, np.float64) + 0.5)
    eyes = (left_eye + right_eye) / 2
    e, m = right_eye - left_eye, (mouth[0] + mouth[1]) / 2 - eyes
    along = e - np.array([-m[1], m[0]])
    side = max(4 * np.linalg.norm(e), 3.6 * np.linalg.norm(m))
    if not np.linalg.norm(along) > 0:
        raise ValueError("landmarks of a face need eyes and mouth at different places")
    center = eyes + 0.1 * m
    return Square(float(center[0]), float(center[1]), float(side), math.atan2(along[1], along[0]))


def crop(image: UInt8[np.ndarray, "h w 3"], square: Square, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Cut a square out of a picture, at `size` pixels a side.

    Where the square leaves the picture, the picture is reflected at its edge, and blurred and faded to the crop's
    median color with the distance from it, as in FFHQ.

    Raises:
        ValueError: the square lies wholly outside of the picture.
    """
    finer = max(1, math.ceil(square.side / size))  # sampled this much finer and averaged: no aliases
    region, origin = _region(image, square)
    into = square.into_picture(size * finer)
    into[:, 2] -= origin
    pixels = _warp(region, into, (size, size), finer)
    outside = _outside(square, image.shape[0], image.shape[1], size)
    return _to_uint8(_faded(pixels, outside) if outside.max() > 0 else pixels)


def paste(
    image: UInt8[np.ndarray, "h w 3"],
    pixels: UInt8[np.ndarray, "size size 3"],
    square: Square,
    *,
    feather: float = 0.1,
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with another content of the square: the inverse of `crop`.

    Args:
        image: the picture that the square was cut out of.
        pixels: the content.
        square: where it belongs.
        feather: over what share of the square's side, from its edge inwards, the picture turns into the content.
    """
    left, top, right, bottom = _box(image, square)
    if right <= left or bottom <= top:
        return image.copy()
    size = min(len(pixels), max(1, round(square.side)))
    content = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))
    into = square.into_crop(size)
    into[:, 2] += into[:, :2] @ np.array([left, top])
    inside = _grid(into, right - left, bottom - top) / size
    distance = np.minimum(inside, 1 - inside).min(axis=-1)
    weight = np.clip(distance / max(feather, 1 / size), 0, 1)
    weight = (weight**2 * (3 - 2 * weight))[..., None]  # smooth at both ends, so that neither shows
    into[:, 2] += _EDGE  # a border of repeated pixels, since what is sampled beyond an image is black
    edged = np.pad(content, ((_EDGE, _EDGE), (_EDGE, _EDGE), (0, 0)), mode="edge")
    result = image.copy()
    part = result[top:bottom, left:right]
    part[:] = _to_uint8(part + weight * (_warp(edged, into, (right - left, bottom - top)) - part))
    return result


def outside_share(square: Square, height: int, width: int) -> float:
    """The share of the square that lies outside of a picture of this size."""
    return float(np.mean(_outside(square, height, width, 64) > 0))


def _eyes_and_mouth(points: Float[np.ndarray, "k 2"]) -> list[Float[np.ndarray, "2"]]:
    """Left eye, right eye, left and right corner of the mouth, as they are seen."""
    if points.shape == (68, 2):
        return [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[48], points[54]]
    if points.shape == (5, 2):
        return [points[0], points[1], points[3], points[4]]
    raise ValueError(f"a face has 68 landmarks [68, 2], or 5 [5, 2]; got {list(points.shape)}")


def _box(image: UInt8[np.ndarray, "h w 3"], square: Square, margin: int = 0) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of the picture that holds the square, and a margin."""
    corners = square.corners()
    low, high = np.floor(corners.min(axis=0)) - margin, np.ceil(corners.max(axis=0)) + margin
    ends = np.array([image.shape[1], image.shape[0]])
    (left, top), (right, bottom) = np.clip(low, 0, ends), np.clip(high, 0, ends)
    return int(left), int(top), int(right), int(bottom)


def _region(
    image: UInt8[np.ndarray, "h w 3"], square: Square
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], Float[np.ndarray, "2"]]:
    """The part of the picture around the square, reflected where the square leaves it, and its upper left corner."""
    left, top, right, bottom = _box(image, square, margin=_EDGE)
    if right - left < 2 or bottom - top < 2:
        raise ValueError(
            f"the square at {square.x:.0f}, {square.y:.0f} lies outside of the picture of "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    corners = square.corners()
    low, high = np.floor(corners.min(axis=0)) - _EDGE, np.ceil(corners.max(axis=0)) + _EDGE
    before = np.maximum(0, [top - low[1], left - low[0]]).astype(int)
    after = np.maximum(0, [high[1] - bottom, high[0] - right]).astype(int)
    widths = ((before[0], after[0]), (before[1], after[1]), (0, 0))
    region = np.pad(image[top:bottom, left:right], widths, mode="reflect")
    return region, np.array([left - before[1], top - before[0]], np.float64)


def _warp(
    image: UInt8[np.ndarray, "h w 3"], into: Float[np.ndarray, "2 3"], size: tuple[int, int], finer: int = 1
) -> Float[np.ndarray, "h2 w2 3"]:
    """The image at the places that an affine map gives to points of a finer grid (bicubic), averaged over each pixel.

    Args:
        image: the image.
        into: from the finer grid to the image.
        size: width and height of the result.
        finer: grid points along a pixel.
    """
    data, grid = tuple(map(float, into.ravel())), (size[0] * finer, size[1] * finer)
    channels = []
    for channel in np.moveaxis(image, -1, 0):  # as float32: Pillow rounds 8 bits down
        picture = Image.fromarray(channel.astype(np.float32))
        picture = picture.transform(grid, Image.Transform.AFFINE, data, resample=Image.Resampling.BICUBIC)
        channels.append(np.asarray(picture.reduce(finer)))
    return np.stack(channels, axis=-1)


def _grid(into: Float[np.ndarray, "2 3"], width: int, height: int) -> Float[np.ndarray, "h w 2"]:
    """Where an affine map takes the centers of the pixels of an image."""
    xs, ys = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([xs, ys], axis=-1) @ into[:, :2].T + into[:, 2]


def _outside(square: Square, height: int, width: int, size: int) -> Float[np.ndarray, "size size"]:
    """How far each pixel of the crop lies outside of the picture, in sides of the square; negative inside."""
    places = _grid(square.into_picture(size), size, size)
    return np.maximum(-places, places - np.array([width, height])).max(axis=-1) / square.side


def _faded(
    values: Float[np.ndarray, "size size 3"], outside: Float[np.ndarray, "size size"]
) -> Float[np.ndarray, "size size 3"]:
    """The crop with what lies outside blurred (beginning a little inside) and faded to the median of the inside."""
    from scipy.ndimage import gaussian_filter  # slow to import, and most commands never need it

    fade = (outside / _FADE)[..., None]
    blurred = gaussian_filter(values, (_BLUR * len(values),) * 2, mode="nearest", axes=(0, 1))
    values = values + np.clip(3 * fade + 1, 0, 1) * (blurred - values)
    inside = outside <= 0
    median = np.median(values[inside] if inside.any() else values.reshape(-1, 3), axis=0)
    return values + np.clip(fade, 0, 1) * (median - values)


def _to_uint8(values: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
