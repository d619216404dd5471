"""Inversion of clips of any length, and of any number of photos, in the memory of a few."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.batching import batched
from disentangle_jax.inversion.encoders import ImageEncoder
from disentangle_jax.inversion.optimisation import Inversion

_OF_IMAGES = ("ws", "images", "psnr", "deviations")


def invert_pieces(
    images: Iterable[Float[np.ndarray, "h w c"]],
    invert: Callable[..., Inversion],
    size: int,
    *,
    method: str,
    encoder: ImageEncoder | None,
    clip: bool,
) -> Iterator[Inversion]:
    """Find the latents of images, some at a time.

    Args:
        images: in [-1, 1], of the generator's size.
        invert: `inversion.invert` or `Disentangler.invert`, with all that it takes but for the following.
        size: images of a piece.
        method, encoder: see `invert`.
        clip: whether the images are the frames of one clip, each piece of which goes on from the one before.

    Yields:
        the inversion of each piece.

    Raises:
        ValueError, FloatingPointError: see `invert`.
    """
    wanted, before = None, None
    for piece in batched(images, size):
        wanted = wanted or len(piece)
        padded = [*piece, *piece[-1:] * (wanted - len(piece))]  # the last one too: to compile once
        how, start = method, encoder
        if before is not None and (method == "optimise" or encoder is None):
            how, start = "auto", partial(_repeat, before.ws[-1])  # another search would come out elsewhere: a jump
        found = invert(np.stack(padded), method=how, encoder=start, clip=clip, before=before)
        before = found if clip else None
        yield found._replace(**{name: getattr(found, name)[: len(piece)] for name in _OF_IMAGES})


def _repeat(ws: Float[np.ndarray, "l d"], images: Float[Array, "n h w c"]) -> Float[Array, "n l d"]:
    """An encoder that returns `ws` for every image."""
    return jnp.broadcast_to(jnp.asarray(ws), (len(images), *ws.shape))
