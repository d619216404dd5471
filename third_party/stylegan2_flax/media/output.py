"""Checks of output files before the work starts."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from stylegan2_flax.files import check_folder

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
VIDEO_SUFFIXES = (".gif", ".mp4")


def require_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """Raise ValueError unless the suffix of the file is among `suffixes`."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path.name!r}: the file type must be one of {', '.join(suffixes)}")


def check_output(path: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES + VIDEO_SUFFIXES) -> None:
    """Check that an image or a video can be written.

    Args:
        path: path of the file.
        suffixes: allowed file types.

    Raises:
        ValueError: the file type is not among `suffixes`, or the path is a folder.
        PermissionError: the folder is read-only.
        ImportError: the file is an .mp4, and imageio-ffmpeg is not installed.
    """
    path = Path(path)
    require_suffix(path, suffixes)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    check_folder(path.parent, path)
    if path.suffix.lower() == ".mp4":
        require_ffmpeg()


def require_ffmpeg() -> None:
    """Raise ImportError if imageio-ffmpeg, which contains ffmpeg, is not installed."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ImportError("writing .mp4 needs imageio-ffmpeg: pip install imageio-ffmpeg (or write a .gif)")
