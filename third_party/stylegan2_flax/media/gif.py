"""GIFs, written frame by frame."""

import itertools
import math
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import GifImagePlugin, Image

_PALETTE_PIXELS = 2**15


class GifEncoder:
    """A looping GIF. Frames are kept in a temporary file, since the palette depends on all of them."""

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
