"""A folder of frames, written frame by frame."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image


class FolderEncoder:
    """A folder with a PNG for each frame, named by its number."""

    def __init__(self, path: Path):
        self._path = path
        self._count = 0

    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        Image.fromarray(frame).save(self._path / f"{self._count:06d}.png")
        self._count += 1

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is open."""
