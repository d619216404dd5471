"""Training images from a folder."""

import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from tqdm import tqdm

from stylegan2_flax.media import UnreadableImageError, load_pillow
from stylegan2_flax.media.images import problem_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
UNREADABLE = ("refuse", "skip")
_MAX_LISTED = 5  # number of files that a message names


class Folder:
    """All image files in a folder and its subfolders, sorted by path, as square images of one size.

    Links to files and folders are followed; a folder that is reached twice counts once. Files and folders whose names
    begin with a dot are ignored; macOS creates such files next to images on other disks. The headers of all files are
    read at the start, and the number of images and of ignored files is printed on stderr.

    Args:
        folder: path of the folder.
        resolution: height and width of the images in pixels.
        channels: 1, 3 or 4.
        background: colour behind transparent pixels; see `media.load_pillow`.
        unreadable: "refuse" raises an error that names the unreadable files; "skip" leaves them out. If a file turns
            out to be damaged only when its pixels are read, "skip" returns the next image instead.
        workers: number of threads that read the headers.

    Raises:
        ValueError: there are no images, or some are unreadable.
    """

    def __init__(self, folder: Path, resolution: int, channels: int, background: str, unreadable: str, workers: int):
        self._resolution = resolution
        self._channels = channels
        self._background = background
        self._skips = unreadable == "skip"
        self._damaged = set[Path]()
        self._lock = threading.Lock()
        found, hidden, others = _find_files(folder)
        problems = _header_problems(found, workers)
        if problems and not self._skips:
            raise ValueError(
                f"{len(problems)} of {len(found)} images in {folder} cannot be read:\n"
                + _listed([f"{path}: {reason}" for path, reason in problems.items()])
                + "\nRepair or remove them, or leave them out with --config.data.unreadable=skip."
            )
        self._paths = [path for path in found if path not in problems]
        left_out = {"that cannot be read": len(problems), "hidden": hidden}
        left_out[f"of other types{_types(others)}"] = others.total()
        summary = ", ".join(f"{count} {kind}" for kind, count in left_out.items() if count)
        if not self._paths:
            raise ValueError(
                f"{folder} holds no images ({', '.join(SUFFIXES)}), nor do the folders in it"
                + (f"; there are files {summary}" if summary else "")
            )
        if jax.process_index() == 0:
            _say(f"{folder}: {len(self._paths)} images" + (f"; left out: {summary}" if summary else ""))
            if problems:
                _say(_listed([f"{path}: {reason}" for path, reason in problems.items()]))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """Raises UnreadableImageError, which names the file, unless unreadable files are skipped."""
        for offset in range(len(self._paths)):
            path = self._paths[(index + offset) % len(self._paths)]
            try:
                return fit_square(load_pillow(path, self._channels, self._background), self._resolution)
            except UnreadableImageError as error:
                if not self._skips:
                    raise
                self._warn(path, error)
        raise UnreadableImageError("none of the images can be read")

    def _warn(self, path: Path, error: UnreadableImageError) -> None:
        """Print a warning about a file the first time that it is skipped."""
        with self._lock:
            is_new = path not in self._damaged
            self._damaged.add(path)
        if is_new:
            _say(f"warning: {error}; the image after it is taken instead ({len(self._damaged)} so far)")


def fit_square(picture: Image.Image, resolution: int) -> UInt8[np.ndarray, "h w c"]:
    """Crop the largest centered square and resize it."""
    picture = ImageOps.fit(picture, (resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(resolution, resolution, -1)


def _find_files(folder: Path) -> tuple[list[Path], int, Counter[str]]:
    """Image files sorted by path, the number of hidden files and folders, and the suffixes of other files."""
    found: list[Path] = []
    hidden, others = 0, Counter[str]()
    for path in _walk(folder, {folder.resolve()}):
        if path.name.startswith("."):
            hidden += 1
        elif path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            others[path.suffix.lower()] += 1
    return sorted(found), hidden, others


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """All files in a folder and its subfolders. Hidden folders are yielded themselves instead of their files."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if not entry.is_dir() or entry.name.startswith("."):
            yield path
        elif (target := path.resolve()) not in seen:
            seen.add(target)
            yield from _walk(path, seen)


def _header_problems(paths: list[Path], workers: int) -> dict[Path, str]:
    """Files whose headers show that they are unreadable, with the reasons."""
    with ThreadPoolExecutor(workers) as pool:
        reasons = tqdm(pool.map(problem_of, paths), "reading image headers", len(paths), leave=False, delay=2)
        return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}


def _types(others: Counter[str]) -> str:
    names = [suffix or "none" for suffix, _ in others.most_common(_MAX_LISTED)]
    return f" ({', '.join(names)})" if names else ""


def _listed(lines: list[str]) -> str:
    """The first lines, and the number of further ones."""
    more = [f"  and {len(lines) - _MAX_LISTED} more"] if len(lines) > _MAX_LISTED else []
    return "\n".join([f"  {line}" for line in lines[:_MAX_LISTED]] + more)


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)
