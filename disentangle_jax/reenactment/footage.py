"""What a source or a driving may be, latents or pictures: as latents, and as what is shown of it."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, UInt8

from disentangle_jax import media
from disentangle_jax.batching import batch_of
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion.latent_files import LatentClip
from disentangle_jax.inversion.pieces import Piece
from disentangle_jax.inversion.portraits import Framed


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
        """Latents of all frames, some at a time."""
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
        return sum(1 for _ in itertools.islice(iter(footage.pictures.frames), most))
    return min(most, footage.num_frames or 1)


@dataclass(frozen=True)
class PictureFootage:
    """A photo or a video, of which a square is inverted.

    Attributes:
        pictures: the pictures, with the square of each that the generator is shown.
        is_clip: whether they are the frames of a clip.
        invert: inverts the squares, some at a time.
    """

    model: Disentangler
    pictures: Framed
    is_clip: bool
    invert: Callable[[Framed], Iterator[Piece]]

    @property
    def name(self) -> str:
        return self.pictures.name

    @property
    def num_frames(self) -> int | None:
        return (self.pictures.frames.num_frames or 0) if self.is_clip else None

    @property
    def fps(self) -> float | None:
        return self.pictures.frames.fps

    @property
    def audio(self) -> Path | None:
        frames = self.pictures.frames
        return frames.path if frames.has_audio else None

    def with_frames(self, frames: media.Frames) -> "PictureFootage":
        """The same of other frames."""
        return replace(self, pictures=replace(self.pictures, frames=frames))

    def pieces(self) -> Iterator[Piece]:
        return self.invert(self.pictures)

    def shown(self, size: int) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        return self.pictures.shown(size)


def render(model: Disentangler, ws: Float[Array | np.ndarray, "n l d"]) -> Iterator[Float[np.ndarray, "h w 3"]]:
    """Draw latents as RGB images, one batch at a time, which are all of one size."""
    batch = batch_of(len(ws), model.generator.img_resolution)
    for start in range(0, len(ws), batch):
        rows = np.arange(start, start + batch).clip(max=len(ws) - 1)
        yield from media.to_rgb(model.render(np.asarray(ws)[rows]))[: len(ws) - start]
