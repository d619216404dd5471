"""Files that are either whole or absent."""

from pathlib import Path

from stylegan2_flax.files import atomic

__all__ = ["atomic", "write_text"]


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
