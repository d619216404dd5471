"""Images and videos in and out: everything of `stylegan2_flax.media`, and titles for figures."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Array, Float
from PIL import Image, ImageDraw, ImageFont

from stylegan2_flax.media import (
    CLIP_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Frames,
    UnreadableImageError,
    UnreadableVideoError,
    VideoWriter,
    check_clip,
    check_output,
    described,
    find_photos,
    from_rgb,
    from_uint8,
    image_grid,
    load_image,
    load_pillow,
    open_video,
    png_bytes,
    read_frames,
    read_photo,
    require_suffix,
    resize,
    save_image,
    save_video,
    to_rgb,
    to_uint8,
)

__all__ = [
    "CLIP_SUFFIXES",
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Frames",
    "UnreadableImageError",
    "UnreadableVideoError",
    "VideoWriter",
    "check_clip",
    "check_output",
    "described",
    "find_photos",
    "from_rgb",
    "from_uint8",
    "image_grid",
    "load_image",
    "load_pillow",
    "open_video",
    "png_bytes",
    "read_frames",
    "read_photo",
    "require_suffix",
    "resize",
    "save_image",
    "save_video",
    "text_cells",
    "titled_columns",
    "to_rgb",
    "to_uint8",
]

GAP = 3
"""Pixels between the images of a figure."""

_INK = (70, 70, 78)  # legible on white, quieter than black


def text_cells(
    texts: Sequence[str], width: int, height: int | None = None, *, size: int = 15
) -> Float[np.ndarray, "n high width 3"]:
    """White cells with a text in the middle of each, wrapped to the width.

    Args:
        texts: one for each cell.
        width: of a cell, in pixels.
        height: of a cell; by default what the longest text needs.
        size: of the font.
    """
    font = ImageFont.load_default(size)
    wrapped = [_wrap(text, font, width) for text in texts]
    height = height or round(size * (0.6 + 1.25 * max(text.count("\n") + 1 for text in wrapped)))
    cells = []
    for text in wrapped:
        cell = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(cell)
        draw.multiline_text((width / 2, height / 2), text, fill=_INK, font=font, anchor="mm", align="center", spacing=2)
        cells.append(np.asarray(cell))
    return from_uint8(np.stack(cells))


def titled_columns(
    images: Mapping[str, Float[Array | np.ndarray, "n h w 3"]], size: int
) -> Float[np.ndarray, "height width 3"]:
    """A grid with one column under each title and one row for each image, shown at `size` pixels."""
    grid = np.stack([resize(column, size) for column in images.values()], axis=1)
    return image_grid(grid, column_headers=text_cells(list(images), size), gap=GAP)


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text with line breaks, so that no line is wider than the width unless it is a single word."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        lines = [*lines[:-1], longer] if not lines or font.getlength(longer) <= width else [*lines, word]
    return "\n".join(lines)
