"""What a command can know of its output file before it starts to work."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
VIDEO_SUFFIXES = (".gif", ".mp4")


def require_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """ValueError unless the file's type, told by its suffix, is among `suffixes`."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path.name!r}: the file type must be one of {', '.join(suffixes)}")


def check_output(path: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES + VIDEO_SUFFIXES) -> None:
    """Make sure that a picture or video can be written, before the work that fills it.

    Raises:
        ValueError: the file type is not among `suffixes`, or a folder has that name.
        PermissionError: the file, or the folder that it goes into, cannot be written.
        ImportError: an .mp4 needs imageio-ffmpeg, which is not installed.
    """
    path = Path(path)
    require_suffix(path, suffixes)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise ValueError(f"{path} cannot be written: {folder} is a file")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path} cannot be written: the folder {folder} is read-only")
    if path.suffix.lower() == ".mp4":
        require_ffmpeg()


def require_ffmpeg() -> None:
    """ImportError unless imageio-ffmpeg, which brings the program that writes .mp4, is installed."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ImportError("writing .mp4 needs imageio-ffmpeg: pip install imageio-ffmpeg (or write a .gif)")
