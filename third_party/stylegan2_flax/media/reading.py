"""Reading of photos, folders of photos, animations and videos, one picture at a time."""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageSequence, UnidentifiedImageError

from stylegan2_flax.media.errors import UnreadableImageError
from stylegan2_flax.media.images import load_pillow, problem_of, with_channels
from stylegan2_flax.media.output import require_av

_NO_PHOTOS = ("BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF")  # which Pillow knows, and others draw
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")  # in other formats further pictures are thumbnails, pages or views
_NO_DELAY = 100  # milliseconds that a frame without a delay is shown, as browsers do
_GIF_STEP = 10  # milliseconds, the unit of a GIF's delays


@dataclass(frozen=True)
class Frames:
    """The pictures of a photo, a folder of photos, an animation or a video.

    Iterating yields them as uint8 [h, w, 3], one at a time, so that memory does not grow with their number; each
    iteration reads them anew. A file that is damaged half-way raises UnreadableVideoError or UnreadableImageError.

    Attributes:
        path: the file or the folder.
        fps: frames per second of a video or an animation, which have frames of one size; None for photos.
        num_frames: about how many pictures there are; exactly, except in a video. None if the file does not tell.
        has_audio: whether there is sound, which `open_video` can keep.
    """

    path: Path
    fps: float | None
    num_frames: int | None
    has_audio: bool
    read: Callable[[], Iterator[UInt8[np.ndarray, "h w 3"]]]

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        return self.read()


def read_frames(path: str | Path) -> Frames:
    """Open a photo, a folder of photos, an animation (GIF, WebP, PNG, AVIF) or a video (which needs PyAV).

    What a file is, is told by its content. Photos are read as `load_pillow` does, videos as `read_video`. The photos of
    a folder come in the order of their names, numbers in these by their value; other files are passed over.

    Raises:
        FileNotFoundError: there is no such file or folder.
        UnreadableImageError, UnreadableVideoError: it cannot be read, or holds no pictures. Both are ValueErrors.
        ImportError: it is a video, and PyAV is not installed.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        photos = find_photos(path)
        return Frames(path, None, len(photos), False, partial(_read_photos, photos))
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture or video at {path}")
    match _kind(path):
        case "photo":
            return read_photo(path)
        case "animation":
            return _animation(path)
        case _:
            return _video(path)


def read_photo(path: str | Path) -> Frames:
    """Open a photo; of an animation, its first picture.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: it cannot be read. This is a ValueError.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture at {path}")
    _check_header(path)
    return Frames(path, None, 1, False, partial(_read_photos, [path]))


def find_photos(folder: str | Path) -> list[Path]:
    """The pictures in a folder, in the order of their names, numbers in these by their value.

    Other files are passed over. Raises UnreadableImageError if there are none, or one cannot be read.
    """
    known = Image.registered_extensions().items()  # among them what Pillow writes alone
    suffixes = {suffix for suffix, kind in known if kind in Image.OPEN and kind not in _NO_PHOTOS}
    visible = (path for path in Path(folder).iterdir() if path.is_file() and not path.name.startswith("."))
    photos = [path for path in visible if path.suffix.lower() in suffixes]
    if not photos:
        raise UnreadableImageError(f"there are no pictures in the folder {folder}")
    for photo in photos:
        _check_header(photo)
    return sorted(photos, key=lambda photo: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", photo.name)])


def _kind(path: Path) -> str:
    try:
        with Image.open(path) as picture:
            if picture.format == "MPEG":  # which Pillow knows, but does not read
                return "video"
            return "animation" if picture.format in _ANIMATED and getattr(picture, "n_frames", 1) > 1 else "photo"
    except UnidentifiedImageError:
        return "video"
    except Exception:  # Pillow raises many kinds of errors for damaged files; who reads it as a photo, tells which
        return "photo"


def _check_header(path: Path) -> None:
    if problem := problem_of(path):
        raise UnreadableImageError(f"{path} cannot be read as a picture: {problem}")


def _read_photos(paths: list[Path]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for path in paths:
        yield np.asarray(load_pillow(path))


def _video(path: Path) -> Frames:
    require_av()
    from stylegan2_flax.media.decoder import probe_video, read_video

    info = probe_video(path)
    return Frames(path, float(info.fps), info.num_frames, info.has_audio, partial(read_video, path, info))


def _animation(path: Path) -> Frames:
    try:
        with Image.open(path) as animation:
            delays = [_delay(frame) for frame in ImageSequence.Iterator(animation)]
    except Exception as error:  # as in load_pillow
        raise UnreadableImageError(f"{path} is damaged or cut short: {error}") from None
    if max(delays) - min(delays) <= _GIF_STEP:  # the rounding of a constant rate
        fps, times = 1000 * len(delays) / sum(delays), [1] * len(delays)
    else:
        fps = 1000 / min(delays)
        ends = [round(end * fps / 1000) for end in itertools.accumulate(delays)]
        times = [end - start for start, end in itertools.pairwise([0, *ends])]
    return Frames(path, fps, sum(times), False, partial(_read_animation, path, times))


def _delay(frame: Image.Image) -> int | float:
    """Milliseconds."""
    frame.load()  # WebP tells them no sooner
    return frame.info.get("duration") or _NO_DELAY


def _read_animation(path: Path, times: list[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield each frame as often as `times` says."""
    with Image.open(path) as animation:
        for number, repeats in enumerate(times):
            try:
                animation.seek(number)
                pixels = np.asarray(with_channels(animation, 3))
            except Exception as error:  # as in load_pillow
                raise UnreadableImageError(f"{path} is damaged in frame {number}: {error}") from None
            yield from itertools.repeat(pixels, repeats)
