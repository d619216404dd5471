"""Pictures and videos in and out: what `stylegan2_flax.media` has, and cells of text for figures."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from stylegan2_flax.media import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    UnreadableImageError,
    VideoWriter,
    check_output,
    from_uint8,
    image_grid,
    load_image,
    load_images,
    load_pillow,
    open_video,
    png_bytes,
    require_suffix,
    resize,
    save_image,
    save_video,
    to_rgb,
    to_uint8,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "UnreadableImageError",
    "VideoWriter",
    "check_output",
    "from_uint8",
    "image_grid",
    "load_image",
    "load_images",
    "load_pillow",
    "open_video",
    "png_bytes",
    "require_suffix",
    "resize",
    "save_image",
    "save_video",
    "text_cells",
    "to_rgb",
    "to_uint8",
]

_INK = (70, 70, 78)  # legible on white, quieter than black


def text_cells(
    texts: Sequence[str], width: int, height: int | None = None, *, size: int = 15
) -> Float[np.ndarray, "n high width 3"]:
    """White cells, a text wrapped in the middle of each; by default they are as high as the longest text needs."""
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


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text with line breaks where a line would grow wider than the width; a long word is left whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        lines = [*lines[:-1], longer] if not lines or font.getlength(longer) <= width else [*lines, word]
    return "\n".join(lines)
