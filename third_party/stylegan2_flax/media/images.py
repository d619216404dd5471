"""Reading and writing of image files."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from stylegan2_flax.files import AnyPath, as_path, atomic
from stylegan2_flax.media.errors import UnreadableImageError
from stylegan2_flax.media.output import IMAGE_SUFFIXES, require_suffix
from stylegan2_flax.media.pixels import from_uint8, to_pillow, to_rgb, to_uint8

BACKGROUND = "white"
"""The default color behind transparent pixels."""

_16_BITS = ("I;16", "I;16L", "I;16B", "I;16N")


def save_image(image: Float[Array | np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"], path: str | AnyPath) -> None:
    """Write an image with 1, 3 or 4 channels as .png, .jpg or .webp. For .jpg, RGBA is composed onto white."""
    path = as_path(path)
    require_suffix(path, IMAGE_SUFFIXES)
    pixels = to_uint8(image)
    opaque = path.suffix.lower() in (".jpg", ".jpeg") and pixels.shape[-1] == 4
    picture = to_pillow(to_rgb(pixels) if opaque else pixels)
    with atomic(path) as temporary:
        picture.save(temporary, quality=95)


def png_bytes(image: Float[Array | np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"]) -> bytes:
    """Encode an image with 1, 3 or 4 channels as PNG."""
    buffer = io.BytesIO()
    to_pillow(to_uint8(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def load_image(path: str | Path, channels: int = 3, background: str = BACKGROUND) -> Float[np.ndarray, "h w c"]:
    """Read an image file; see `load_pillow`."""
    pixels = np.asarray(load_pillow(path, channels, background))
    return from_uint8(pixels.reshape(*pixels.shape[:2], channels))


def load_pillow(path: str | Path, channels: int = 3, background: str = BACKGROUND) -> Image.Image:
    """Read an image file of any format that Pillow supports.

    The EXIF orientation is applied, 16 bits are scaled to 8, transparent pixels are composed onto the background, and
    of an animation the first frame is read.

    Args:
        path: path of the file.
        channels: 1 for mode L, 3 for RGB, 4 for RGBA, which keeps transparency.
        background: a color that Pillow knows, such as "white" or "#808080".

    Raises:
        FileNotFoundError: the file does not exist.
        UnreadableImageError: the file cannot be read. This is a ValueError.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    try:
        with Image.open(path) as picture:
            picture = ImageOps.exif_transpose(picture)
    except UnidentifiedImageError:
        raise UnreadableImageError(f"{path} is not an image file") from None
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"{path} is too large: {_bomb(error)}") from None
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise UnreadableImageError(f"{path} is damaged or cut short: {error}") from None
    try:
        return with_channels(picture, channels, background)
    except ValueError as error:
        raise UnreadableImageError(f"{path} cannot be read as a picture: {error}") from None


def with_channels(picture: Image.Image, channels: int, background: str = BACKGROUND) -> Image.Image:
    """Convert a Pillow image of any mode to L, RGB or RGBA; see `load_pillow`.

    Raises:
        ValueError: the mode cannot be converted, such as floating-point numbers of unknown range.
    """
    picture = _eight_bits(picture)
    if channels == 4:
        return picture.convert("RGBA")
    if picture.has_transparency_data:
        canvas = Image.new("RGBA", picture.size, background)
        picture = Image.alpha_composite(canvas, picture.convert("RGBA"))
    return picture.convert("L" if channels == 1 else "RGB")


def problem_of(path: Path) -> str | None:
    """Why the header of an image file shows that it cannot be read; None if it can."""
    try:
        with Image.open(path) as picture:
            return "floating-point numbers of unknown range" if picture.mode == "F" else None
    except UnidentifiedImageError:
        return "not an image file"
    except Image.DecompressionBombError as error:
        return f"too large: {_bomb(error)}"
    except Exception as error:  # as in load_pillow
        return str(error) or type(error).__name__


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Convert grey images of 16 bits to L, or to LA if one value means transparent. Other modes are unchanged."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; convert it to 8 or 16 bits")
    if picture.mode not in (*_16_BITS, "I"):
        return picture
    values = np.asarray(picture)
    if values.min() < 0 or values.max() > 65535:  # Pillow reads some files of 16 bits as 32 bits (mode I)
        raise ValueError("its pixels are integers of 32 bits; convert it to 8 or 16 bits")
    grey = np.rint(values / 257).astype(np.uint8)
    if (transparent := picture.info.get("transparency")) is None:
        return Image.fromarray(grey)
    return Image.fromarray(np.stack([grey, np.where(values == transparent, 0, 255).astype(np.uint8)], axis=-1))


def _bomb(error: Image.DecompressionBombError) -> str:
    """Pillow's message about too many pixels, without the remark about attacks."""
    return str(error).split(", could be")[0]
