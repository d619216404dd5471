"""Conversions of image arrays: float and uint8, channels, sizes, grids."""

import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image


def to_uint8(
    images: Float[Array | np.ndarray, "*n h w c"] | UInt8[np.ndarray, "*n h w c"],
) -> UInt8[np.ndarray, "*n h w c"]:
    """Convert [-1, 1] to 0..255 by rounding and clipping. Raises ValueError for NaN; uint8 images are unchanged."""
    if images.dtype == np.uint8:
        return np.asarray(images)
    values = np.asarray(images, np.float32)
    if np.isnan(values).any():
        raise ValueError("the images contain NaN; nothing was written")
    return np.clip(np.rint((values + 1.0) * 127.5), 0, 255).astype(np.uint8)


def from_uint8(images: UInt8[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w c"]:
    """Convert 0..255 to float32 in [-1, 1]. `to_uint8` is the exact inverse."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_rgb(
    images: Float[Array | np.ndarray, "*n h w c"] | UInt8[np.ndarray, "*n h w c"],
) -> Float[np.ndarray, "*n h w 3"] | UInt8[np.ndarray, "*n h w 3"]:
    """Convert images of 1, 3 or 4 channels to RGB: grey is repeated, RGBA is composed onto white. uint8 stays uint8.

    Raises ValueError for other numbers of channels.
    """
    values = np.asarray(images) if images.dtype == np.uint8 else np.asarray(images, np.float32)
    match values.shape[-1]:
        case 1:
            return np.repeat(values, 3, axis=-1)
        case 3:
            return values
        case 4 if values.dtype == np.uint8:
            return to_uint8(to_rgb(from_uint8(values)))
        case 4:
            opacity = np.clip((values[..., 3:] + 1.0) / 2.0, 0.0, 1.0)
            return opacity * values[..., :3] + (1.0 - opacity)
        case channels:
            raise ValueError(f"pictures of {channels} channels cannot be shown: it takes 1, 3 or 4")


def from_rgb(images: UInt8[np.ndarray, "*n h w 3"], channels: int) -> UInt8[np.ndarray, "*n h w c"]:
    """Convert RGB to 1 channel (luma after ITU-R BT.601, as Pillow's L), 3, or 4 (opaque).

    Raises ValueError for other numbers of channels.
    """
    match channels:
        case 1:
            weights = np.array([0.299, 0.587, 0.114], np.float32)
            return np.rint(images.astype(np.float32) @ weights[:, None]).astype(np.uint8)
        case 3:
            return images
        case 4:
            return np.concatenate([images, np.full_like(images[..., :1], 255)], axis=-1)
    raise ValueError(f"pictures have 1, 3 or 4 channels, not {channels}")


def to_pillow(pixels: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    """Convert to a Pillow image of mode L, RGB or RGBA. Raises ValueError for other numbers of channels."""
    if pixels.shape[-1] not in (1, 3, 4):
        raise ValueError(f"an image file has 1, 3 or 4 channels; got an array of shape {pixels.shape}")
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def resize(images: Float[Array | np.ndarray, "*n h w c"], size: int) -> Float[np.ndarray, "*n size size c"]:
    """Resize square images (bicubic, 8 bits), for display only."""
    values = np.asarray(images, np.float32)
    if values.shape[-2] == size and values.shape[-3] == size:
        return values
    flat = to_uint8(values).reshape(-1, *values.shape[-3:])
    pictures = [np.asarray(to_pillow(image).resize((size, size), Image.Resampling.BICUBIC)) for image in flat]
    return from_uint8(np.stack(pictures).reshape(*values.shape[:-3], size, size, values.shape[-1]))


def image_grid(
    images: Float[Array | np.ndarray, "rows columns h w c"] | UInt8[np.ndarray, "rows columns h w c"],
    *,
    row_headers: Float[Array | np.ndarray, "rows h wide c"] | UInt8[np.ndarray, "rows h wide c"] | None = None,
    column_headers: Float[Array | np.ndarray, "columns high w c"] | UInt8[np.ndarray, "columns high w c"] | None = None,
    corner: Float[np.ndarray, "high wide c"] | UInt8[np.ndarray, "high wide c"] | None = None,
    gap: int = 2,
) -> Float[np.ndarray, "height width c"] | UInt8[np.ndarray, "height width c"]:
    """Arrange images in a grid with white gaps. The result is float or uint8, as `images`.

    Args:
        images: the images.
        row_headers: an image for each row, to the left of a wider gap.
        column_headers: an image for each column, above a wider gap.
        corner: an image for the top left corner, between both headers.
        gap: pixels between images.
    """
    convert, white, dtype = (to_uint8, 255, np.uint8) if images.dtype == np.uint8 else (_to_float, 1, np.float32)
    rows, columns, h, w, c = images.shape
    left = 0 if row_headers is None else row_headers.shape[2] + 4 * gap
    top = 0 if column_headers is None else column_headers.shape[1] + 4 * gap
    canvas = np.full((top + rows * (h + gap) - gap, left + columns * (w + gap) - gap, c), white, dtype)
    for row in range(rows):
        y = top + row * (h + gap)
        for column in range(columns):
            x = left + column * (w + gap)
            canvas[y : y + h, x : x + w] = convert(images[row, column])
            if column_headers is not None:
                canvas[: top - 4 * gap, x : x + w] = convert(column_headers[column])
        if row_headers is not None:
            canvas[y : y + h, : left - 4 * gap] = convert(row_headers[row])
    if corner is not None:
        canvas[: top - 4 * gap, : left - 4 * gap] = convert(corner)
    return canvas


def _to_float(images: Array | np.ndarray) -> np.ndarray:
    return from_uint8(np.asarray(images)) if images.dtype == np.uint8 else np.asarray(images, np.float32)
