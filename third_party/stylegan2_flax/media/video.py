"""Writing of videos frame by frame, in memory that does not grow with their length."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, UInt8

from stylegan2_flax.files import atomic, atomic_folder
from stylegan2_flax.media.folder import FolderEncoder
from stylegan2_flax.media.gif import GifEncoder
from stylegan2_flax.media.output import check_clip
from stylegan2_flax.media.pixels import to_rgb, to_uint8

_GIF_MAX_FPS = 50  # browsers show a delay of less than 2/100 s as one of 10/100 s


@contextmanager
def open_video(path: str | Path, fps: int | float = 12, audio: str | Path | None = None) -> Iterator["VideoWriter"]:
    """Open a video for writing: a looping .gif or .webp, an .mp4, or a folder of frames (a path without suffix).

        with open_video("clip.mp4", fps=25) as video:
            for frames in batches:
                video.write(frames)

    The file is written at the end of the block; an error in the block leaves an existing file unchanged.

    Args:
        path: path of the file.
        fps: frames per second, not necessarily an integer.
        audio: a video or a sound file, whose sound an .mp4 keeps from its start, for as long as there are frames.

    Raises:
        ValueError: the file type or the frame rate is invalid, or no frame was written.
        OSError: the file cannot be written.
        ImportError: it is an .mp4 or a .webp, and PyAV is not installed.
    """
    path = Path(path)
    check_clip(path, fps)
    if path.suffix.lower() == ".gif" and fps > _GIF_MAX_FPS:
        warnings.warn(
            f"most programs slow down a GIF of more than {_GIF_MAX_FPS} frames a second, and {path.name} has "
            f"{fps:g}: write an .mp4, or fewer frames",
            stacklevel=3,
        )
    whole = atomic if path.suffix else atomic_folder
    with whole(path) as temporary, closing(_encoder(temporary, fps, Path(audio) if audio else None)) as encoder:
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


@runtime_checkable
class _Encoder(Protocol):
    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


def _encoder(path: Path, fps: int | float, audio: Path | None) -> _Encoder:
    match path.suffix.lower():
        case "":
            return FolderEncoder(path)
        case ".gif":
            return GifEncoder(path, fps)
        case _:
            from stylegan2_flax.media.encoder import VideoEncoder

            return VideoEncoder(path, fps, audio)
