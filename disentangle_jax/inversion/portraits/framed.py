"""Pictures as a generator is shown them: read anew whenever they are looked at, so that none is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8

from disentangle_jax import media
from disentangle_jax.inversion.portraits.finding import FaceFinder, NoFaceError
from disentangle_jax.inversion.portraits.placement import Placement, place
from disentangle_jax.inversion.portraits.square import Square, TooSmallError, crop


@dataclass(frozen=True)
class Framed:
    """A photo or a video, of which a generator is shown a square.

    Iterating yields what it is shown of each frame: images [h, w, c] in [-1, 1], of its size and channels.

    Attributes:
        name: what the user calls it.
        frames: the pictures.
        wanted: what `alignment` returned.
        find: finds the landmarks of faces; dlib's if None.
        fps: frames per second of a video, over which squares are smoothed.
        size, channels: of the generator's images.
    """

    name: str
    frames: media.Frames
    wanted: str
    find: FaceFinder | None
    fps: float
    size: int
    channels: int

    @cached_property
    def placement(self) -> Placement:
        """Where the face is, in all frames; found when it is first asked for.

        Raises NoFaceError or TooSmallError, with the name.
        """
        try:
            return place(self.frames, self.wanted, self.size, find=self.find, fps=self.fps)
        except (NoFaceError, TooSmallError) as error:  # others name the file themselves
            raise type(error)(f"{self.name}: {error}") from None

    def __iter__(self) -> Iterator[Float[np.ndarray, "h w c"]]:
        for picture in self.shown(self.size):
            yield media.from_uint8(media.from_rgb(picture, self.channels))

    def shown(self, size: int) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        """The squares in colour, of any size."""
        for picture, square in self.originals():
            yield crop(picture, square, size)

    def originals(self) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], Square]]:
        """The whole pictures, and the squares that are shown of them.

        Raises ValueError if there are others than when the squares were found.
        """
        squares, count = self.placement.squares, 0
        for count, picture in enumerate(self.frames, 1):
            if count > len(squares):
                break
            yield picture, squares[count - 1]
        if count != len(squares):
            raise ValueError(f"{self.name} has changed while it was read: try again when it is complete")
