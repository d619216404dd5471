"""Videos that PyAV encodes, with the sound of another file."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av import Packet, VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from jaxtyping import UInt8

from stylegan2_flax.media.decoder import open_container, video_start


class Format(NamedTuple):
    """How a type of file is encoded.

    Attributes:
        codec: name of the codec.
        pixels: its pixel format.
        multiple: of which the sides must be a multiple.
        codec_options, file_options: options of ffmpeg.
        copied: audio codecs that this file can hold, so that their sound is copied; any other is encoded as AAC.
    """

    codec: str
    pixels: str
    multiple: int
    codec_options: dict[str, str]
    file_options: dict[str, str]
    copied: tuple[str, ...]


FORMATS = {
    ".mp4": Format("libx264", "yuv420p", 2, {"crf": "18"}, {"movflags": "+faststart"}, ("aac", "mp3", "ac3", "alac")),
    ".webp": Format("libwebp_anim", "bgra", 1, {"quality": "90"}, {"loop": "0"}, ()),
}
"""By the suffix of the file."""


class VideoEncoder:
    """A video that PyAV encodes while frames are written. Errors of ffmpeg are OSErrors.

    Args:
        path: file to write, of a suffix in FORMATS.
        fps: frames per second.
        audio: a file whose sound is to be kept, for as long as there are frames.
    """

    def __init__(self, path: Path, fps: int | float, audio: Path | None):
        self._format = FORMATS[path.suffix.lower()]
        self._fps = Fraction(fps).limit_denominator(1001)
        self._audio_path = audio
        self._count = 0
        self._stream: VideoStream | None = None
        self._audio: _Audio | None = None
        self._stack = ExitStack()
        self._output = self._stack.enter_context(av.open(str(path), "w", container_options=self._format.file_options))

    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        bottom, right = (-side % self._format.multiple for side in frame.shape[:2])
        whole = np.pad(frame, ((0, bottom), (0, right), (0, 0)), mode="edge")  # the last row or column is repeated
        picture = VideoFrame.from_ndarray(whole, format="rgb24")
        if self._format.pixels == "yuv420p":
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        picture.pts = self._count
        try:
            self._stream = self._stream or self._start(*whole.shape[:2])
            self._output.mux(self._stream.encode(picture))
            self._count += 1
            if self._audio:
                self._audio.write_until(self._count / self._fps)
        except FFmpegError as error:
            raise _failure(error) from error

    def finish(self) -> None:
        assert self._stream is not None
        try:
            self._output.mux(self._stream.encode(None))
            self._output.close()
        except FFmpegError as error:
            raise _failure(error) from error

    def close(self) -> None:
        with suppress(FFmpegError):
            self._stack.close()

    def _start(self, height: int, width: int) -> VideoStream:
        stream = cast(
            "VideoStream", self._output.add_stream(self._format.codec, self._fps, options=self._format.codec_options)
        )
        stream.height, stream.width, stream.pix_fmt = height, width, self._format.pixels
        stream.codec_context.time_base = 1 / self._fps
        if self._format.pixels == "yuv420p":  # said in the file, or players would guess by the size of the picture
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        if self._audio_path is not None and self._format.copied:
            source = self._stack.enter_context(open_container(self._audio_path))
            if source.streams.audio:
                self._audio = _Audio(source, self._output, self._format.copied)
        return stream


_BT709, _LIMITED = 1, 1  # in the numbers of H.273, which ffmpeg uses


class _Audio:
    """The sound of a file, written as far as there are frames."""

    def __init__(self, source: InputContainer, output: OutputContainer, copied: tuple[str, ...]):
        self._source, self._output = source, output
        self._start = video_start(source)
        sound = source.streams.audio[0]
        if sound.codec_context.name in copied:
            self._stream, packets = output.add_stream_from_template(sound), self._copied
        else:
            self._stream, packets = output.add_stream("aac", sound.codec_context.sample_rate), self._encoded
        self._packets = packets(sound)
        self._next = next(self._packets, None)

    def write_until(self, seconds: Fraction) -> None:
        """Write what is heard before this time."""
        while self._next is not None and _seconds(self._next) < seconds:
            self._output.mux(self._next)
            self._next = next(self._packets, None)

    def _copied(self, sound: AudioStream) -> Iterator[Packet]:
        for packet in self._source.demux(sound):
            if packet.pts is None or packet.dts is None:  # the end
                continue
            shift = round(self._start / Fraction(packet.time_base))
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self._stream
            if packet.pts >= 0:
                yield packet

    def _encoded(self, sound: AudioStream) -> Iterator[Packet]:
        for frame in self._source.decode(sound):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._start / Fraction(frame.time_base))
            if frame.pts is None or frame.pts >= 0:
                yield from self._stream.encode(frame)
        yield from self._stream.encode(None)


def _seconds(packet: Packet) -> Fraction:
    return (packet.pts or 0) * Fraction(packet.time_base)


def _failure(error: Exception) -> OSError:
    return OSError(f"the video could not be written: {error}")
