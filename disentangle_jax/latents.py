"""Latents in files of the user."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float

DAMAGE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
"""What `np.load` raises of files that are damaged, cut short, or something else."""


def read_ws(path: str | Path, num_ws: int, w_dim: int) -> Float[np.ndarray, "*t l d"]:
    """Read a latent, or a clip of them, from .npy or .npz; the array of an .npz is its only one, or the one named ws.

    Args:
        path: a file with an array of shape [d] (W, repeated for every layer), [l, d] (W+) or [t, l, d] (a clip).
        num_ws, w_dim: l and d of the generator.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, of another type or shape, or holds numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no latent file at {path} (a random face is seed:N)")
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"{path} is no .npy or .npz file; of a real picture, a GAN inversion gives such latents")
    ws = _read_array(path)
    if ws.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {ws.dtype} values; latents are real numbers")
    fits = ws.ndim in (1, 2, 3) and ws.shape == (*ws.shape[:-2], num_ws, w_dim)[-ws.ndim :] and 0 not in ws.shape
    if not fits:
        shapes = f"[{w_dim}], [{num_ws}, {w_dim}] or [frames, {num_ws}, {w_dim}]"
        raise ValueError(f"{path} holds an array of shape {list(ws.shape)}; this generator's latents are {shapes}")
    if not np.isfinite(ws).all():
        raise ValueError(f"{path} holds numbers that are not finite (NaN or infinite)")
    ws = ws.astype(np.float32)
    return np.tile(ws, (num_ws, 1)) if ws.ndim == 1 else ws


def _read_array(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            names = content.files
            name = names[0] if len(names) == 1 else "ws"
            array = content[name] if name in names else None
    except DAMAGE as error:
        raise ValueError(f"{path} is no .npy or .npz file, or is damaged or cut short ({error})") from None
    if array is None:
        raise ValueError(f"{path} holds {len(names)} arrays, but none named ws; which is it?")
    return array
