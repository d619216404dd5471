"""Inversion of clips of any length, and of any number of photos, in the memory of a few."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict
from tqdm import tqdm

from disentangle_jax.batching import batched, render_batch
from disentangle_jax.inversion.optimisation import Inversion

_WORSE = 3.0  # dB


class Piece(NamedTuple):
    """Latents of some frames of a clip, of some photos, or of a single face.

    Attributes:
        ws: the latents.
        psnr: of the inversion of pictures in dB, for each of them; None of latents that did not come from pictures.
        deviations: distance of the inverted latents to the mean in standard deviations, likewise.
    """

    ws: Float[Array | np.ndarray, "t l d"]
    psnr: Float[Array | np.ndarray, "t"] | None
    deviations: Float[Array | np.ndarray, "t"] | None


def invert_pieces(
    images: Iterable[Float[np.ndarray, "h w c"]], invert: Callable[..., Inversion], size: int, *, clip: bool
) -> Iterator[Piece]:
    """Find the latents of images, some at a time.

    Each piece of a clip goes on from the one before. Where that makes it clearly worse, such as after a cut, it is
    inverted anew, and kept so if that is better.

    Args:
        images: in [-1, 1], of the generator's size.
        invert: `inversion.invert` or `Disentangler.invert`, with all that it takes but for images, clip and before.
        size: images of a piece.
        clip: whether the images are the frames of one clip.

    Raises:
        ValueError, FloatingPointError: see `invert`.
    """
    before = None
    for piece in batched(images, size):
        found = invert(np.stack(piece), clip=clip, before=before)
        if before is not None and _is_worse(found, before):
            anew = invert(np.stack(piece), clip=clip)
            found = anew if _is_worse(found, anew) else found
        yield Piece(found.ws, found.psnr, found.deviations)
        before = found._replace(images=found.images[:0].copy()) if clip else None  # whose images are large


def piece_size(settings: ConfigDict, resolution: int) -> int:
    """How many images make a piece: as many whole batches as `images_per_piece` holds, and one at least."""
    wanted = settings.images_per_piece
    batch = settings.batch_size or min(wanted, render_batch(resolution))
    return max(1, wanted // batch) * batch


def progress(pieces: Iterable[Piece], what: str, total: int | None) -> Iterator[Piece]:
    """The pieces, with a bar that shows how far they are; `total` images of them, if that is known."""
    with tqdm(desc=what, total=total or None, unit=" images", disable=None, leave=False) as bar:
        for piece in pieces:
            yield piece
            bar.update(len(piece.ws))


def joined(pieces: Iterable[Piece]) -> Piece:
    """All of them as one."""
    ws, *others = zip(*pieces, strict=True)
    return Piece(np.concatenate(ws), *(None if values[0] is None else np.concatenate(values) for values in others))


def _is_worse(found: Inversion, other: Inversion) -> bool:
    return bool(found.psnr.mean() < other.psnr.mean() - _WORSE)
