"""Checks of output files before the work starts."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from stylegan2_flax.files import AnyPath, as_path, check_folder

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
VIDEO_SUFFIXES = (".gif", ".mp4")
CLIP_SUFFIXES = (*VIDEO_SUFFIXES, ".webp", "")
"""What `open_video` writes: .webp may be a picture or an animation, and no suffix is a folder of frames."""

_MIN_FPS, _MAX_FPS = 0.01, 1000  # what the delays of a GIF and ffmpeg's rates can hold


def require_suffix(path: AnyPath, suffixes: Sequence[str]) -> None:
    """Raise ValueError unless the suffix of the file is among `suffixes`."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path.name!r}: the file type must be one of {described(suffixes)}")


def described(suffixes: Sequence[str]) -> str:
    """The suffixes in words, for error messages."""
    return ", ".join(filter(None, dict.fromkeys(suffixes))) + (
        ", or none for a folder of frames" if "" in suffixes else ""
    )


def check_output(path: str | AnyPath, suffixes: Sequence[str] = IMAGE_SUFFIXES + VIDEO_SUFFIXES) -> None:
    """Check that an image or a video can be written.

    Args:
        path: path of the file.
        suffixes: allowed file types.

    Raises:
        ValueError: the file type is not among `suffixes`, or the path is a folder; where the path has no suffix, so
            that a folder is to be written, it is a file or a folder with something in it.
        PermissionError: the folder is read-only.
        ImportError: the file is an .mp4, and PyAV is not installed.
    """
    path = as_path(path)
    require_suffix(path, suffixes)
    if isinstance(path, Path):
        _check_free(path)
    if path.suffix.lower() == ".mp4":
        require_av()


def check_clip(path: str | AnyPath, fps: int | float) -> None:
    """Check that a clip of this many frames a second can be written.

    Raises:
        ValueError: see `check_output`; or the frame rate is invalid.
        PermissionError: see `check_output`.
        ImportError: it is an .mp4 or an animated .webp, and PyAV is not installed.
    """
    path = as_path(path)
    check_output(path, CLIP_SUFFIXES)
    if not _MIN_FPS <= fps <= _MAX_FPS:
        raise ValueError(f"a video has from {_MIN_FPS} to {_MAX_FPS} frames a second, got {fps:g}")
    if path.suffix.lower() == ".webp":
        require_av()


def _check_free(path: Path) -> None:
    """Raise an error unless a file, or a folder of frames, can be created there."""
    if path.suffix == "":
        if path.is_dir() and any(path.iterdir()):
            raise ValueError(f"the folder {path} is not empty: give a new one for the frames")
        if path.exists() and not path.is_dir():
            raise ValueError(
                f"{path} is a file: give a new folder for the frames, or a file name that ends in its type"
            )
    elif path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    check_folder(path.parent, path)


def require_av() -> None:
    """Raise ImportError if PyAV, which contains ffmpeg, is not installed."""
    if importlib.util.find_spec("av") is None:
        raise ImportError("videos need PyAV: pip install av (a .gif is written and read without it)")
