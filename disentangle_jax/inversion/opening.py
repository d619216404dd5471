"""Photos, folders of photos, animations, videos and frames:FOLDER: opened, and cut out as a generator is shown them."""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax import media
from disentangle_jax.configs import transfer
from disentangle_jax.domains import load_domain
from disentangle_jax.generators import is_registered
from disentangle_jax.inversion import portraits
from stylegan2_flax import files

FRAMES = "frames:"
"""Before a folder: its pictures are the frames of a clip."""

FPS = transfer.get_config().fps
"""Frames per second of clips that have no rate."""

_LISTED = 5  # files that a message names


@dataclass(frozen=True)
class Images:
    """What is inverted: iterating yields images of the generator's size, read anew each time.

    Attributes:
        parts: a clip, or photos.
        is_clip: whether they are the frames of one clip.
    """

    parts: Sequence[portraits.Framed]
    is_clip: bool

    def __len__(self) -> int:
        return sum(len(part.placement.squares) for part in self.parts)

    def __iter__(self) -> Iterator[Float[np.ndarray, "h w c"]]:
        return itertools.chain.from_iterable(self.parts)

    @property
    def names(self) -> Sequence[str]:
        """What to call each of them."""
        return [f"frame {i}" for i in range(len(self))] if self.is_clip else [part.name for part in self.parts]


def open_pictures(name: str) -> list[media.Frames]:
    """Open a file, each photo of a folder, or the frames of frames:FOLDER, which have no rate.

    Says which files of a folder of photos are none.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it cannot be read, or holds no pictures.
        ImportError: it is a video, and PyAV is not installed.
    """
    if name.startswith(FRAMES):
        return [_read_clip(name)]
    path = Path(files.as_path(name))
    if not path.is_dir():
        return [media.read_frames(path)]
    photos = media.find_photos(path)
    others = sorted(
        {entry.name for entry in path.iterdir() if not entry.name.startswith(".")} - {p.name for p in photos}
    )
    if others:
        more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        print(f"{name}: {len(photos)} pictures; left out, as no photos: {', '.join(others[:_LISTED])}{more}")
    return [media.read_frames(photo) for photo in photos]


def frame(
    frames: media.Frames, name: str, size: int, channels: int, align: str, face_finder: str, fps: float = FPS
) -> portraits.Framed:
    """Pictures with the square of each that --align says.

    Args:
        frames: the pictures.
        name: of the generator that is to be shown them.
        size, channels: of its images.
        align: one of `portraits.ALIGN`.
        face_finder: finds the faces that are aligned; see `portraits.load_finder`.
        fps: the rate of a clip that has none.

    Raises ValueError or ImportError if faces cannot be found so.
    """
    has_domain = is_registered(name) or load_domain(name) is not None
    wanted = portraits.alignment(align, has_domain=has_domain, resolution=size, channels=channels)
    find = None if wanted == "none" else portraits.load_finder(face_finder)
    return portraits.Framed(frames.path.name, frames, wanted, find, frames.fps or fps, size, channels)


def read_images(
    opened: Sequence[media.Frames],
    generator: sg2.Generator,
    name: str,
    align: str,
    face_finder: str = portraits.DLIB,
    *,
    is_clip: bool,
) -> Images:
    """A clip or photos as images of the generator's size: of each picture the square that --align says.

    All are read once, so that what is wrong with one is told before any is inverted.

    Raises:
        ValueError: a file is damaged, there is no frame, there is no face where one is wanted, or the generator's
            images have neither 1, 3 nor 4 channels.
    """
    size, channels = generator.img_resolution, generator.img_channels
    media.from_rgb(np.zeros((1, 1, 3), np.uint8), channels)  # which tells if there are no such pictures
    if not is_clip:
        opened = [_as_photo(frames) for frames in opened]
    parts = [frame(frames, name, size, channels, align, face_finder) for frames in opened]
    for part in tqdm(parts, "reading", unit=" files", disable=None, leave=False):
        for remark in _remarks(part):
            warnings.warn(remark, stacklevel=2)
    portraits.tell_licence((part.placement for part in parts), face_finder)
    return Images(parts, is_clip)


def _read_clip(name: str) -> media.Frames:
    """The pictures of frames:FOLDER."""
    folder = Path(files.as_path(name.removeprefix(FRAMES)))
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} wants a folder of frames after the colon, and there is none at {folder}")
    frames = media.read_frames(folder)

    def read() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        shape = None
        for number, frame in enumerate(frames):
            shape = shape or frame.shape
            if frame.shape != shape:
                sizes = (f"{shape[1]} x {shape[0]}" for shape in (frame.shape, shape))
                raise ValueError(
                    f"{name}: frame {number} has {' pixels, those before it '.join(sizes)}, but a clip has one size; "
                    "if they are several faces, give the folder without frames:"
                )
            yield frame

    return replace(frames, read=read)


def _as_photo(frames: media.Frames) -> media.Frames:
    """A picture of a folder of photos; of an animation the first one, and it says so."""
    if frames.fps is None:
        return frames
    warnings.warn(f"{frames.path.name} moves: its first picture is taken, as of a photo", stacklevel=3)
    return media.read_photo(frames.path)


def _remarks(part: portraits.Framed) -> Iterator[str]:
    """What the user should know of the squares, a sentence each; what holds for many photos in the same words."""
    yield from (f"{part.name}: {remark}" for remark in part.placement.remarks)
    square = part.placement.squares[0]
    width, height = round(2 * square.x), round(2 * square.y)  # of a picture of which the middle is shown
    if not part.placement.aligned and (width != height or width < part.size):
        cut = "" if height == width else "the middle of "
        yield f"{cut}{width} x {height} pixels is resized to the generator's {part.size} x {part.size}"
