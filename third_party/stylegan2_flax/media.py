"""Pictures and videos in and out, and grids of them. Float images [..., h, w, c] in [-1, 1] inside, uint8 in files.

What only writes takes uint8 images too, which need a quarter of the memory.
"""

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image, UnidentifiedImageError

from stylegan2_flax.files import atomic

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
VIDEO_SUFFIXES = (".gif", ".mp4")

_PALETTE_PIXELS = 2**15


def to_uint8(
    images: Float[Array | np.ndarray, "*n h w c"] | UInt8[np.ndarray, "*n h w c"],
) -> UInt8[np.ndarray, "*n h w c"]:
    """[-1, 1] to 0..255, rounded; values beyond the range are clipped, NaN is refused. uint8 images are left alone."""
    if images.dtype == np.uint8:
        return np.asarray(images)
    values = np.asarray(images, np.float32)
    if np.isnan(values).any():
        raise ValueError("the images contain NaN; nothing was written")
    return np.clip(np.rint((values + 1.0) * 127.5), 0, 255).astype(np.uint8)


def from_uint8(images: UInt8[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w c"]:
    """0..255 to float32 in [-1, 1]; `to_uint8` undoes it exactly."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def save_image(image: Float[Array | np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"], path: str | Path) -> None:
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
    images: Float[Array | np.ndarray, "rows columns h w c"] | UInt8[np.ndarray, "rows columns h w c"],
    *,
    row_headers: Float[Array | np.ndarray, "rows h wide c"] | UInt8[np.ndarray, "rows h wide c"] | None = None,
    column_headers: Float[Array | np.ndarray, "columns high w c"] | UInt8[np.ndarray, "columns high w c"] | None = None,
    corner: Float[np.ndarray, "high wide c"] | UInt8[np.ndarray, "high wide c"] | None = None,
    gap: int = 2,
) -> Float[np.ndarray, "height width c"] | UInt8[np.ndarray, "height width c"]:
    """Lay images out with thin white gaps; the grid is float or uint8 as `images` is.

    Headers, which are pictures too, stand down the left and along the top behind a wider gap; where both do,
    `corner` may fill the place between them.
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


def save_video(
    frames: Iterable[Float[Array | np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w 3"]],
    path: str | Path,
    *,
    fps: int = 12,
) -> None:
    """Write frames as an endless .gif, or as .mp4 (which needs imageio-ffmpeg).

    frames: [t, h, w, 3], or anything that yields frames of one size, even for the first time: an .mp4 is written as
    they come, so a long one needs little memory.
    """
    path = Path(path)
    require_suffix(path, VIDEO_SUFFIXES)
    pixels = _video_pixels(frames)
    first = next(pixels, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    with atomic(path) as temporary:
        write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
        write(first, pixels, temporary, fps)


def require_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """ValueError unless the file's type, told by its suffix, is among `suffixes`."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path.name!r}: the file type must be one of {', '.join(suffixes)}")


def _to_pillow(pixels: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    if pixels.shape[-1] not in (1, 3):
        raise ValueError(f"an image file has 1 or 3 channels; got an array of shape {pixels.shape}")
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _to_float(images: Array | np.ndarray) -> np.ndarray:
    return from_uint8(np.asarray(images)) if images.dtype == np.uint8 else np.asarray(images, np.float32)


def _video_pixels(frames: Iterable[Array | np.ndarray]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    shape = None
    for frame in frames:
        pixels = to_uint8(np.asarray(frame))
        shape = shape or (*pixels.shape[:-1], 3)
        if pixels.shape != shape:
            raise ValueError(f"frame of shape {pixels.shape} in a video of {shape}: give frames of one size, in colour")
        yield pixels


def _write_gif(first: UInt8[np.ndarray, "h w 3"], others: Iterator[np.ndarray], path: Path, fps: int) -> None:
    # One palette for all frames, as one for each would flicker; from a sample of the pixels, as all would take long.
    pixels = np.stack([first, *others])
    flat = pixels.reshape(1, -1, 3)
    sample = flat[:, np.random.default_rng(0).integers(flat.shape[1], size=_PALETTE_PIXELS)]
    palette = Image.fromarray(sample).quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    picture, *rest = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in pixels
    ]
    picture.save(path, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, optimize=False)


def _write_mp4(first: UInt8[np.ndarray, "h w 3"], others: Iterator[np.ndarray], path: Path, fps: int) -> None:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ImportError("writing .mp4 needs imageio-ffmpeg: pip install imageio-ffmpeg (or write a .gif)") from None
    # The codec halves the colour planes, so both sides must be even: repeat the last row or column where one is odd.
    h, w, _ = first.shape
    odd = ((0, h % 2), (0, w % 2), (0, 0))
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{w + w % 2}x{h + h % 2}", "-r", str(fps), "-i", "-"]
    coded = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-y", str(path)]
    # Not by imageio_ffmpeg's own writer: it forks, which a process with JAX's threads should not do.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw, *coded]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints) as process:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # where it gives up, it says why
                for frame in itertools.chain([first], others):
                    process.stdin.write(np.pad(frame, odd, mode="edge").tobytes())
                process.stdin.close()
        if process.returncode != 0:
            complaints.seek(0)
            raise OSError(f"ffmpeg could not write the video: {complaints.read().decode(errors='replace').strip()}")
