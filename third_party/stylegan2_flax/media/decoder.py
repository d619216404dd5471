"""Reading of videos with PyAV, frame by frame."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8

from stylegan2_flax.media.errors import UnreadableVideoError
from stylegan2_flax.media.pixels import to_rgb

_FORMATS = "mov,matroska,webm,avi,flv,asf,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ivf,ogg,mp3,aac,wav,flac"
"""The file formats that are opened: none that names other files or addresses to be read, as playlists do."""

_MAX_FPS = 240  # more than this is a unit of time and no rate, as in what browsers record
_DEFAULT_FPS = Fraction(25)  # of a stream that tells no times
_PROBED = 32  # frames whose times tell the rate, where the file does not
_MISSING = 0.5  # seconds by which a video may fall short of the length that it states


class VideoInfo(NamedTuple):
    """What is known of a video before it is read.

    Attributes:
        fps: frames per second, at which `read_video` yields them.
        num_frames: about how many there are; None if the file does not tell.
        has_audio: whether there is sound.
        size: height and width of a frame in square pixels, before it is turned.
    """

    fps: Fraction
    num_frames: int | None
    has_audio: bool
    size: tuple[int, int]


def open_container(path: Path) -> InputContainer:
    """Open a file with PyAV. Raises UnreadableVideoError if it is none."""
    try:
        return av.open(str(path.absolute()), options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"})
    except FFmpegError as error:
        raise UnreadableVideoError(
            f"{path} is no picture and no video, or is damaged or cut short ({error.strerror})"
        ) from error


def probe_video(path: Path) -> VideoInfo:
    """Look at a video.

    Raises:
        UnreadableVideoError: it holds no frames, or cannot be read.
    """
    with open_container(path) as container:
        stream = _video_stream(container, path)
        fps, stated, length = Fraction(stream.average_rate or 0), stream.frames, _stated_end(stream)
        has_audio, ratio = len(container.streams.audio) > 0, stream.sample_aspect_ratio or 1
    _, first = next(_decode(path), (None, None))
    if first is None:
        raise UnreadableVideoError(f"{path} is a video without frames")
    if not 0 < fps <= _MAX_FPS:
        fps = _measured_rate(path)
    estimate = stated or (None if length is None else max(1, round(length * fps)))
    return VideoInfo(fps, estimate, has_audio, (first.height, round(first.width * ratio)))


def read_video(path: Path, info: VideoInfo) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the frames of a video as they are to be seen, one at a time.

    They are turned as the file says, which phones rely on, and stretched where pixels are not square; transparent
    parts are white. They come at a constant rate: where those of the file do not, some are repeated or left out.

    Args:
        path: the file.
        info: what `probe_video` found.

    Raises:
        UnreadableVideoError: the file is damaged.
    """
    for frame in at_constant_rate(_decode(path), info.fps):
        yield _pixels(frame, info.size)


def at_constant_rate(timed: Iterator[tuple[Fraction, VideoFrame]], fps: Fraction) -> Iterator[VideoFrame]:
    """Repeat and leave out frames, so that each is shown at its time, rounded to the rate.

    Args:
        timed: seconds from the start, and the frame that is shown from then on.
        fps: frames per second to yield.
    """
    held, place = None, 0
    for seconds, frame in timed:
        due = max(place, round(seconds * fps))
        if held is not None:
            yield from itertools.repeat(held, due - place)
        held, place = frame, due
    if held is not None:
        yield held


def video_start(container: InputContainer) -> Fraction:
    """The time in seconds at which the first frame is shown; 0 if it is unknown."""
    videos = container.streams.video
    return _start(videos[0]) if videos else Fraction(0)


def _start(stream: VideoStream) -> Fraction:
    return (stream.start_time or 0) * Fraction(stream.time_base or 0)


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [
        s for s in container.streams.video if not s.disposition & Disposition.attached_pic
    ]  # no cover of an album
    if not streams:
        raise UnreadableVideoError(f"{path} holds no video{', only sound' if container.streams.audio else ''}")
    return streams[0]


def _decode(path: Path) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield the time in seconds since the first frame, and the frame."""
    with open_container(path) as container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        stated = _stated_end(stream)
        start, time, end, count = None, Fraction(0), Fraction(0), 0
        step = 1 / Fraction(stream.average_rate or _DEFAULT_FPS)
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise UnreadableVideoError(_damage(path, count, end, "a frame that cannot be decoded"))
                if frame.pts is not None and frame.time_base is not None:
                    moment = frame.pts * Fraction(frame.time_base)
                    start = moment if start is None else start
                    time = moment - start
                else:
                    time = end
                length = (frame.duration or 0) * Fraction(frame.time_base or 0)
                end, count = time + (length or step), count + 1
                yield time, frame
        except FFmpegError as error:
            raise UnreadableVideoError(_damage(path, count, end, str(error.strerror))) from error
        if count and stated is not None and end < stated - _MISSING:
            raise UnreadableVideoError(
                f"{path} is cut short: it says that it lasts {float(stated):.1f} s, but its frames end after "
                f"{float(end):.1f} s. Get it again, or write it anew as far as it goes: {_remedy(path)}"
            )


def _damage(path: Path, count: int, end: Fraction, reason: str) -> str:
    return (
        f"{path} is damaged after frame {count} ({float(end):.1f} s): {reason}. Get it again, or write it anew with "
        f"what can be read: {_remedy(path)}"
    )


def _remedy(path: Path) -> str:
    return f"ffmpeg -i {path.name} repaired.mp4"


def _stated_end(stream: VideoStream) -> Fraction | None:
    """How many seconds a stream says that it lasts; Matroska does so in a text, which counts from the sound's start."""
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * Fraction(stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds) - _start(stream)
    except ValueError:
        return None


def _measured_rate(path: Path) -> Fraction:
    times = [time for time, _ in itertools.islice(_decode(path), _PROBED)]
    if len(times) < 2 or times[-1] <= times[0]:
        return _DEFAULT_FPS
    return ((len(times) - 1) / (times[-1] - times[0])).limit_denominator(1001)


def _pixels(frame: VideoFrame, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    has_alpha = any(component.is_alpha for component in frame.format.components)
    height, width = size
    pixels = frame.to_ndarray(format="rgba" if has_alpha else "rgb24", width=width, height=height)
    return np.ascontiguousarray(np.rot90(to_rgb(pixels), round(frame.rotation / 90)))
