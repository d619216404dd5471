"""The image files of a folder: found, checked and read."""

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
_SHOWN = 5  # of the files that a message names


class Folder:
    """All image files of a folder and the folders in it, sorted by path, as square images of one size.

    Links to files and folders are followed; a folder that is reached twice counts once. Names that begin with a dot are
    passed over: among them are the files that macOS leaves beside each image on foreign disks. The header of every file
    is read at once, and stderr says how many images there are and what was left out.

    Args:
        folder: where they lie.
        resolution, channels: of the images.
        background: colour of transparent parts; see `media.load_pillow`.
        unreadable: "refuse" raises an error that names the files which cannot be read; "skip" leaves them out, and
            where only the reading of the pixels shows that a file is damaged, gives the one after it instead.
        workers: threads that check the headers.

    Raises:
        ValueError: there is no image, or one cannot be read.
    """

    def __init__(self, folder: Path, resolution: int, channels: int, background: str, unreadable: str, workers: int):
        self._resolution, self._channels, self._background = resolution, channels, background
        self._skips, self._damaged, self._lock = unreadable == "skip", set[Path](), threading.Lock()
        found, hidden, others = _files(folder)
        problems = _problems(found, workers)
        if problems and not self._skips:
            raise ValueError(
                f"{len(problems)} of {len(found)} images in {folder} cannot be read:\n"
                + _listed([f"{path}: {reason}" for path, reason in problems.items()])
                + "\nMend or remove them, or leave them out with --config.data.unreadable=skip."
            )
        self._paths = [path for path in found if path not in problems]
        left_out = {"that cannot be read": len(problems), "hidden": hidden}
        left_out[f"of other types{_types(others)}"] = others.total()
        told = ", ".join(f"{count} {kind}" for kind, count in left_out.items() if count)
        if not self._paths:
            raise ValueError(
                f"{folder} holds no images ({', '.join(SUFFIXES)}), nor do the folders in it"
                + (f"; there are files {told}" if told else "")
            )
        if jax.process_index() == 0:
            _say(f"{folder}: {len(self._paths)} images" + (f"; left out: {told}" if told else ""))
            if problems:
                _say(_listed([f"{path}: {reason}" for path, reason in problems.items()]))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """Raises UnreadableImageError that names a file which cannot be read, unless such are skipped."""
        for offset in range(len(self._paths)):
            path = self._paths[(index + offset) % len(self._paths)]
            try:
                return squared(load_pillow(path, self._channels, self._background), self._resolution)
            except UnreadableImageError as error:
                if not self._skips:
                    raise
                self._tell(path, error)
        raise UnreadableImageError("none of the images can be read")

    def _tell(self, path: Path, error: UnreadableImageError) -> None:
        """Warn of a file, the first time."""
        with self._lock:
            is_new = path not in self._damaged
            self._damaged.add(path)
        if is_new:
            _say(f"warning: {error}; the image after it is taken instead ({len(self._damaged)} so far)")


def squared(picture: Image.Image, resolution: int) -> UInt8[np.ndarray, "h w c"]:
    """The largest square in the picture's middle, resized."""
    picture = ImageOps.fit(picture, (resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(resolution, resolution, -1)


def _files(folder: Path) -> tuple[list[Path], int, Counter[str]]:
    """Image files by path; how many hidden files and folders were passed over; the suffixes of other files."""
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
    """Files in a folder and in those within; of hidden folders their own names."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if not entry.is_dir() or entry.name.startswith("."):
            yield path
        elif (place := path.resolve()) not in seen:
            seen.add(place)
            yield from _walk(path, seen)


def _problems(paths: list[Path], workers: int) -> dict[Path, str]:
    """Files that cannot be read, as far as their headers tell, and why."""
    with ThreadPoolExecutor(workers) as pool:
        reasons = tqdm(pool.map(problem_of, paths), "looking at images", len(paths), leave=False, delay=2)
        return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}


def _types(others: Counter[str]) -> str:
    names = [suffix or "none" for suffix, _ in others.most_common(_SHOWN)]
    return f" ({', '.join(names)})" if names else ""


def _listed(lines: list[str]) -> str:
    """Some of the lines, and how many more there are."""
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([f"  {line}" for line in lines[:_SHOWN]] + more)


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)
