"""Files that are either whole or absent."""

from pathlib import Path

from stylegan2_flax.files import atomic

__all__ = ["atomic", "is_url", "local_path", "write_text"]


def is_url(path: str | Path) -> bool:
    """Whether a path is a URL, such as https://host/file or gs://bucket/file."""
    return "://" in str(path)


def local_path(path: str | Path, flag: str) -> Path:
    """The path of a flag, with ~ expanded. Raises ValueError for a URL, which would become a folder of that name."""
    if is_url(path):
        raise ValueError(f"{flag}={path} is a URL: files are written to local or mounted disks alone")
    return Path(path).expanduser()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
