"""Writing of videos frame by frame, in memory that does not grow with their length."""

import itertools
import math
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import GifImagePlugin, Image

from stylegan2_flax.files import atomic
from stylegan2_flax.media.output import VIDEO_SUFFIXES, check_output
from stylegan2_flax.media.pixels import to_rgb, to_uint8

_PALETTE_PIXELS = 2**15
_MIN_FPS, _MAX_FPS = 0.01, 1000  # what the delays of a GIF and ffmpeg's rates can hold
_GIF_MAX_FPS = 50  # browsers show a delay of less than 2/100 s as one of 10/100 s


@contextmanager
def open_video(path: str | Path, fps: int | float = 12) -> Iterator["VideoWriter"]:
    """Open a video for writing: a looping .gif, or an .mp4 (which needs imageio-ffmpeg).

        with open_video("clip.mp4", fps=25) as video:
            for frames in batches:
                video.write(frames)

    The file is written at the end of the block; an error in the block leaves an existing file unchanged.

    Args:
        path: path of the file.
        fps: frames per second, not necessarily an integer.

    Raises:
        ValueError: the file type or the frame rate is invalid, or no frame was written.
        OSError: the file cannot be written.
        ImportError: imageio-ffmpeg is not installed.
    """
    path = Path(path)
    check_output(path, VIDEO_SUFFIXES)
    if not _MIN_FPS <= fps <= _MAX_FPS:
        raise ValueError(f"a video has from {_MIN_FPS} to {_MAX_FPS} frames a second, got {fps:g}")
    is_gif = path.suffix.lower() == ".gif"
    if is_gif and fps > _GIF_MAX_FPS:
        warnings.warn(
            f"most programs slow down a GIF of more than {_GIF_MAX_FPS} frames a second, and {path.name} has "
            f"{fps:g}: write an .mp4, or fewer frames",
            stacklevel=3,
        )
    with atomic(path) as temporary, closing(_Gif(temporary, fps) if is_gif else _Mp4(temporary, fps)) as encoder:
        writer = VideoWriter(encoder)
        yield writer
        if writer.num_frames == 0:
            raise ValueError("a video needs at least one frame")
        encoder.finish()


def save_video(
    frames: Iterable[Float[Array | np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"]],
    path: str | Path,
    *,
    fps: int | float = 12,
) -> None:
    """Write frames as a video; see `open_video`.

    Args:
        frames: frames [t, h, w, c], or an iterable of frames of one size, which are written one by one.
        path: path of the file.
        fps: frames per second.
    """
    with open_video(path, fps) as video:
        for frame in frames:
            video.write(frame)


class VideoWriter:
    """The writer that `open_video` returns.

    Attributes:
        num_frames: number of frames written so far.
    """

    def __init__(self, encoder: "_Encoder"):
        self._encoder = encoder
        self._shape: tuple[int, ...] | None = None
        self.num_frames = 0

    def write(self, frames: Float[Array | np.ndarray, "*t h w c"] | UInt8[np.ndarray, "*t h w c"]) -> None:
        """Add one or several frames with 1, 3 or 4 channels (see `to_rgb`).

        Raises:
            ValueError: they differ in shape from the frames before, or contain NaN.
            OSError: the video cannot be written.
        """
        shape = self._shape = self._shape or frames.shape[-3:]
        if frames.shape[-3:] != shape:
            raise ValueError(
                f"frame of shape {frames.shape[-3:]} in a video of {shape}: give frames of one size, in colour or grey"
            )
        for pixels in to_rgb(to_uint8(frames)).reshape(-1, *shape[:2], 3):
            self._encoder.write(np.asarray(pixels))
            self.num_frames += 1


class _Encoder(Protocol):
    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


class _Gif:
    """A GIF. Frames are kept in a temporary file, since the palette depends on all of them."""

    def __init__(self, path: Path, fps: int | float):
        self._path, self._fps = path, fps
        self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        self._shape = frame.shape
        self._count += 1
        self._spool.write(frame.tobytes())

    def finish(self) -> None:
        palette = self._palette()
        before: Image.Image | None = None
        with self._path.open("wb") as file:
            for frame, delay in zip(self._frames(), gif_delays(self._fps, self._count), strict=True):
                picture = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
                if before is None:
                    file.writelines(GifImagePlugin.getheader(picture, info={"loop": 0, "optimize": False})[0])
                    box = (0, 0, *picture.size)
                else:  # only the changed part
                    box = _changed(before, picture)
                file.writelines(GifImagePlugin.getdata(picture.crop(box), box[:2], duration=10 * delay))
                before = picture
            file.write(b";")

    def close(self) -> None:
        self._spool.close()

    def _frames(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        size = math.prod(self._shape)
        self._spool.seek(0)
        for _ in range(self._count):
            yield np.frombuffer(self._spool.read(size), np.uint8).reshape(self._shape)

    def _palette(self) -> Image.Image:
        """One palette for all frames, since several would flicker, from a random sample of the pixels."""
        size = math.prod(self._shape[:2])
        places = np.sort(np.random.default_rng(0).integers(self._count * size, size=_PALETTE_PIXELS))
        ends = np.searchsorted(places, size * np.arange(self._count + 1))
        sample = [
            frame.reshape(-1, 3)[places[start:end] - i * size]
            for i, (frame, (start, end)) in enumerate(zip(self._frames(), itertools.pairwise(ends), strict=True))
        ]
        return Image.fromarray(np.concatenate(sample)[None]).quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)


def _changed(before: Image.Image, after: Image.Image) -> tuple[int, int, int, int]:
    """The bounding box (left, top, right, bottom) of the difference of two images; one pixel if they are equal."""
    differ = np.asarray(before) != np.asarray(after)
    rows, columns = (np.flatnonzero(differ.any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return 0, 0, 1, 1
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def gif_delays(fps: int | float, num_frames: int) -> list[int]:
    """Delays of frames in units of 1/100 s, as a GIF needs them, rounded so that their sum is exact."""
    ends = [math.floor(100 * i / Fraction(fps).limit_denominator(1001)) for i in range(num_frames + 1)]
    return [end - start for start, end in itertools.pairwise(ends)]


class _Mp4:
    """An MP4, encoded by ffmpeg while frames are written."""

    def __init__(self, path: Path, fps: int | float):
        self._path, self._fps = path, Fraction(fps).limit_denominator(1001)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        h, w, _ = frame.shape
        self._process = self._process or self._start(h + h % 2, w + w % 2)
        assert self._process.stdin is not None
        # The codec needs even sides, so the last row or column is repeated.
        even = np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")
        try:
            self._process.stdin.write(even.tobytes())
        except BrokenPipeError:  # ffmpeg has stopped with an error
            self.finish()

    def finish(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._process.wait() != 0:
            self._stderr.seek(0)
            reason = self._stderr.read().decode(errors="replace").strip()
            raise OSError(f"ffmpeg could not write the video: {reason}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            with suppress(BrokenPipeError), self._process:
                pass
        self._stderr.close()

    def _start(self, height: int, width: int) -> subprocess.Popen[bytes]:
        import imageio_ffmpeg

        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(self._fps), "-i", "-"]
        coded = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        # imageio_ffmpeg's own writer forks, which is unsafe in a process with JAX's threads.
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw, *coded, "-y", str(self._path)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self._stderr)
