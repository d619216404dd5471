"""What a source or a driving may be, latents or pictures: as latents, and as what is shown of it."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, UInt8

from disentangle_jax import media
from disentangle_jax.batching import batch_of
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion import Inversion
from disentangle_jax.inversion.latent_files import LatentClip
from disentangle_jax.inversion.portraits import NoFaceError, Placement, Square, crop

_T = TypeVar("_T")


class Piece(NamedTuple):
    """Some frames of a clip, or a single face.

    Attributes:
        ws: their latents.
        psnr: of the inversion of pictures in dB, for each frame; None of latents that did not come from pictures.
        deviations: distance of the inverted latents to the mean in standard deviations, likewise.
    """

    ws: Float[Array | np.ndarray, "t l d"]
    psnr: Float[Array | np.ndarray, "t"] | None
    deviations: Float[Array | np.ndarray, "t"] | None


Inverter = Callable[[Float[np.ndarray, "t h w c"], Inversion | None], Inversion]
"""Inverts images of the generator's size, frames of one clip; given the inversion of those before them, if any."""


@runtime_checkable
class Footage(Protocol):
    """A face or a clip. What iterates starts anew with each call, and has no more than some frames in memory.

    Attributes:
        name: what the user calls it.
        model: its generator draws the face.
        num_frames: about how many frames there are; None for a single face.
        fps: frames per second; None if unknown.
        audio: a file with its sound; None if there is none.
    """

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> Disentangler: ...
    @property
    def num_frames(self) -> int | None: ...
    @property
    def fps(self) -> float | None: ...
    @property
    def audio(self) -> Path | None: ...

    def pieces(self) -> Iterator[Piece]:
        """Latents of all frames, some at a time, all pieces but the last of one length."""
        ...

    def shown(self, size: int) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        """What there is to see of each frame."""
        ...


@dataclass(frozen=True)
class LatentFootage:
    """Latents: from a file, or drawn at random."""

    name: str
    model: Disentangler
    clip: LatentClip

    @property
    def audio(self) -> None:
        return None

    @property
    def num_frames(self) -> int | None:
        return self.clip.num_frames

    @property
    def fps(self) -> float | None:
        return self.clip.fps

    def pieces(self) -> Iterator[Piece]:
        frames = self.clip.ws if self.clip.ws.ndim == 3 else self.clip.ws[None]
        for start in range(0, len(frames), _PIECE):
            yield Piece(frames[start : start + _PIECE], None, None)

    def shown(self, size: int) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        for piece in self.pieces():
            for image in render(self.model, piece.ws):
                yield media.to_uint8(media.resize(image[None], size)[0])


_PIECE = 64  # latents at a time


def count_frames(footage: Footage, most: int) -> int:
    """How many frames a clip has, which are read for it; `most` if there are more."""
    if isinstance(footage, PictureFootage):
        return sum(1 for _ in itertools.islice(iter(footage.frames), most))
    return min(most, footage.num_frames or 1)


@dataclass(frozen=True)
class PictureFootage:
    """A photo or a video, of which a square is inverted.

    Attributes:
        frames: the pictures.
        is_clip: whether they are the frames of a clip.
        find_squares: finds the square of each frame.
        invert: inverts the squares.
        frames_per_batch: how many frames are inverted at a time.
    """

    name: str
    model: Disentangler
    frames: media.Frames
    is_clip: bool
    find_squares: Callable[[media.Frames], Placement]
    invert: Inverter
    frames_per_batch: int

    @property
    def num_frames(self) -> int | None:
        return (self.frames.num_frames or 0) if self.is_clip else None

    @property
    def fps(self) -> float | None:
        return self.frames.fps

    @property
    def audio(self) -> Path | None:
        return self.frames.path if self.frames.has_audio else None

    @cached_property
    def placement(self) -> Placement:
        """Where the face is, in all frames; found when it is first asked for. Raises NoFaceError, with the name."""
        try:
            return self.find_squares(self.frames)
        except NoFaceError as error:
            raise NoFaceError(f"{self.name}: {error}") from None

    def pieces(self) -> Iterator[Piece]:
        wanted, before = None, None
        for batch in batches(self.images(), self.frames_per_batch):
            wanted = wanted or len(batch)
            padded = [*batch, *batch[-1:] * (wanted - len(batch))]  # the last one too: to compile once
            before = self.invert(np.stack(padded), before)
            yield Piece(*(values[: len(batch)] for values in (before.ws, before.psnr, before.deviations)))

    def shown(self, size: int) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        for picture, square in self.originals():
            yield crop(picture, square, size)

    def images(self) -> Iterator[Float[np.ndarray, "h w c"]]:
        """What is inverted of each frame, in [-1, 1], of the generator's size and channels."""
        generator = self.model.generator
        for picture in self.shown(generator.img_resolution):
            yield media.from_uint8(media.from_rgb(picture, generator.img_channels))

    def originals(self) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], Square]]:
        """The whole pictures, and the squares that are shown of them."""
        yield from zip(self.frames, self.placement.squares, strict=False)


def render(model: Disentangler, ws: Float[Array | np.ndarray, "n l d"]) -> Iterator[Float[np.ndarray, "h w 3"]]:
    """Draw latents as RGB images, one batch at a time, which are all of one size."""
    batch = batch_of(len(ws), model.generator.img_resolution)
    for start in range(0, len(ws), batch):
        rows = np.arange(start, start + batch).clip(max=len(ws) - 1)
        yield from media.to_rgb(model.render(np.asarray(ws)[rows]))[: len(ws) - start]


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of `size` items, the last one perhaps shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
