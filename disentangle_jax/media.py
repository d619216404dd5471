"""Pictures and videos in and out, and grids of them. Float images [..., h, w, c] in [-1, 1] inside, uint8 in files."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from disentangle_jax.files import atomic

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
VIDEO_SUFFIXES = (".gif", ".mp4")

_WHITE = 1.0
_PALETTE_PIXELS = 2**15
_INK = (70, 70, 78)  # of titles: legible on white, quieter than black


def to_uint8(images: Float[Array | np.ndarray, "*n h w c"]) -> UInt8[np.ndarray, "*n h w c"]:
    """[-1, 1] to 0..255, rounded; values beyond the range are clipped, NaN is refused."""
    values = np.asarray(images, np.float32)
    if np.isnan(values).any():
        raise ValueError("the images contain NaN; nothing was written")
    return np.clip(np.rint((values + 1.0) * 127.5), 0, 255).astype(np.uint8)


def from_uint8(images: UInt8[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w c"]:
    """0..255 to float32 in [-1, 1]; `to_uint8` undoes it exactly."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def save_image(image: Float[Array | np.ndarray, "h w c"], path: str | Path) -> None:
    """Write one image with 1 or 3 channels as .png, .jpg or .webp."""
    path = Path(path)
    require_suffix(path, IMAGE_SUFFIXES)
    picture = _to_pillow(to_uint8(image))
    with atomic(path) as temporary:
        picture.save(temporary, quality=95)


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


def resize(images: Float[Array | np.ndarray, "*n h w c"], size: int) -> Float[np.ndarray, "*n size size c"]:
    """Square images resized smoothly (bicubic), for showing, not for measuring."""
    values = np.asarray(images, np.float32)
    if values.shape[-2] == size and values.shape[-3] == size:
        return values
    flat = to_uint8(values).reshape(-1, *values.shape[-3:])
    pictures = [np.asarray(_to_pillow(image).resize((size, size), Image.Resampling.BICUBIC)) for image in flat]
    return from_uint8(np.stack(pictures).reshape(*values.shape[:-3], size, size, values.shape[-1]))


def image_grid(
    images: Float[Array | np.ndarray, "rows columns h w c"],
    *,
    row_headers: Float[Array | np.ndarray, "rows h wide c"] | None = None,
    column_headers: Float[Array | np.ndarray, "columns high w c"] | None = None,
    corner: Float[np.ndarray, "high wide c"] | None = None,
    gap: int = 2,
) -> Float[np.ndarray, "height width c"]:
    """Lay images out with thin white gaps.

    Headers, pictures or `text_cells`, stand down the left and along the top behind a wider gap; where both do,
    `corner` may fill the place between them.
    """
    values = np.asarray(images, np.float32)
    rows, columns, h, w, c = values.shape
    left = 0 if row_headers is None else row_headers.shape[2] + 4 * gap
    top = 0 if column_headers is None else column_headers.shape[1] + 4 * gap
    canvas = np.full((top + rows * (h + gap) - gap, left + columns * (w + gap) - gap, c), _WHITE, np.float32)
    for row in range(rows):
        y = top + row * (h + gap)
        for column in range(columns):
            x = left + column * (w + gap)
            canvas[y : y + h, x : x + w] = values[row, column]
            if column_headers is not None:
                canvas[: top - 4 * gap, x : x + w] = column_headers[column]
        if row_headers is not None:
            canvas[y : y + h, : left - 4 * gap] = row_headers[row]
    if corner is not None:
        canvas[: top - 4 * gap, : left - 4 * gap] = corner
    return canvas


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


def save_video(frames: Float[Array | np.ndarray, "t h w 3"], path: str | Path, *, fps: int = 12) -> None:
    """Write frames as an endless .gif, or as .mp4 (which needs the extra `video`)."""
    path = Path(path)
    require_suffix(path, VIDEO_SUFFIXES)
    pixels = to_uint8(frames)
    if len(pixels) == 0:
        raise ValueError("a video needs at least one frame")
    with atomic(path) as temporary:
        (_write_gif if path.suffix.lower() == ".gif" else _write_mp4)(pixels, temporary, fps)


def require_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """ValueError unless the file's type, told by its suffix, is among `suffixes`."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path.name!r}: the file type must be one of {', '.join(suffixes)}")


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text with line breaks where a line would grow wider than the width; a long word is left whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        lines = [*lines[:-1], longer] if not lines or font.getlength(longer) <= width else [*lines, word]
    return "\n".join(lines)


def _to_pillow(pixels: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    if pixels.shape[-1] not in (1, 3):
        raise ValueError(f"an image file has 1 or 3 channels; got an array of shape {pixels.shape}")
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _write_gif(pixels: UInt8[np.ndarray, "t h w 3"], path: Path, fps: int) -> None:
    # One palette for all frames, as one for each would flicker; from a sample of the pixels, as all would take long.
    flat = pixels.reshape(1, -1, 3)
    sample = flat[:, np.random.default_rng(0).integers(flat.shape[1], size=_PALETTE_PIXELS)]
    palette = Image.fromarray(sample).quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    first, *rest = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in pixels
    ]
    first.save(path, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, optimize=False)


def _write_mp4(pixels: UInt8[np.ndarray, "t h w 3"], path: Path, fps: int) -> None:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ImportError(
            'writing .mp4 needs the extra "video": pip install "disentangle_jax[video]" (a .gif needs nothing more)'
        ) from None
    # The codec halves the colour planes, so both sides must be even: repeat the last row or column where one is odd.
    _, h, w, _ = pixels.shape
    pixels = np.pad(pixels, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    size = f"{pixels.shape[2]}x{pixels.shape[1]}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps), "-i", "-"]
    coded = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-y", str(path)]
    # Not by imageio_ffmpeg's own writer: it forks, which a process with JAX's threads should not do.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw, *coded]
    result = subprocess.run(command, input=pixels.tobytes(), capture_output=True, check=False)
    if result.returncode != 0:
        raise OSError(f"ffmpeg could not write the video: {result.stderr.decode(errors='replace').strip()}")
