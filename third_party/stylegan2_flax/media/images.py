"""Image files, read and written."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image, UnidentifiedImageError

from stylegan2_flax.files import atomic
from stylegan2_flax.media.output import IMAGE_SUFFIXES, require_suffix
from stylegan2_flax.media.pixels import from_uint8, to_pillow, to_rgb, to_uint8


def save_image(image: Float[Array | np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"], path: str | Path) -> None:
    """Write one image with 1, 3 or 4 channels as .png, .jpg or .webp. A .jpg has no alpha: RGBA is put on white."""
    path = Path(path)
    require_suffix(path, IMAGE_SUFFIXES)
    pixels = to_uint8(image)
    opaque = path.suffix.lower() in (".jpg", ".jpeg") and pixels.shape[-1] == 4
    picture = to_pillow(to_rgb(pixels) if opaque else pixels)
    with atomic(path) as temporary:
        picture.save(temporary, quality=95)


def png_bytes(image: Float[Array | np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"]) -> bytes:
    """The content of a PNG file of one image with 1, 3 or 4 channels."""
    buffer = io.BytesIO()
    to_pillow(to_uint8(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def load_image(path: str | Path) -> Float[np.ndarray, "h w 3"]:
    """Read any image file that Pillow knows, as RGB.

    Raises FileNotFoundError if there is none, and ValueError if the file is no image or is cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    try:
        with Image.open(path) as picture:
            return from_uint8(np.asarray(picture.convert("RGB")))
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image file") from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on damaged files, by format
        raise ValueError(f"{path} is damaged or cut short: {error}") from None


def load_images(paths: Sequence[str | Path]) -> Float[np.ndarray, "n h w 3"]:
    """Read images of one size; ValueError names the first that differs."""
    if not paths:
        raise ValueError("no image paths were given")
    images = [load_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            sizes = ["x".join(map(str, shape[1::-1])) for shape in (image.shape, images[0].shape)]
            raise ValueError(f"{path} is {sizes[0]}, but {paths[0]} is {sizes[1]}: give images of one size")
    return np.stack(images)
