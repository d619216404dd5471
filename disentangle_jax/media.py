"""Pictures and videos in and out: what `stylegan2_flax.media` has, and cells of text for figures."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float
from PIL import Image, ImageDraw, ImageFont

from stylegan2_flax.media import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    from_uint8,
    image_grid,
    load_image,
    load_images,
    require_suffix,
    resize,
    save_image,
    save_video,
    to_uint8,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "from_uint8",
    "image_grid",
    "load_image",
    "load_images",
    "require_suffix",
    "resize",
    "save_image",
    "save_video",
    "text_cells",
    "to_rgb",
    "to_uint8",
]

_INK = (70, 70, 78)  # legible on white, quieter than black


def to_rgb(images: Float[Array | np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w 3"]:
    """Images of 1, 3 or 4 channels as RGB, for showing: grey is repeated, RGBA stands on white.

    Raises ValueError for another number of channels.
    """
    values = np.asarray(images, np.float32)
    match values.shape[-1]:
        case 1:
            return np.repeat(values, 3, axis=-1)
        case 3:
            return values
        case 4:
            opacity = np.clip((values[..., 3:] + 1.0) / 2.0, 0.0, 1.0)
            return opacity * values[..., :3] + (1.0 - opacity)
        case channels:
            raise ValueError(f"pictures of {channels} channels cannot be shown: it takes 1, 3 or 4")


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
