"""Images to latents, by whichever method there is: an encoder, optimisation, or one after the other."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax import media
from disentangle_jax.batching import in_batches, render_batch
from disentangle_jax.configs import inversion as defaults
from disentangle_jax.inversion.encoders import ImageEncoder
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.inversion.optimisation import Distance, Inversion, measured, optimise
from stylegan2_flax.checks import check_choice

METHODS = ("auto", "encoder", "optimise")


def invert(
    images: Shaped[Array | np.ndarray, "..."],
    generator: sg2.Generator,
    *,
    method: str = "auto",
    encoder: ImageEncoder | None = None,
    distance: Distance | None = None,
    clip: bool = False,
    before: Inversion | None = None,
    settings: ConfigDict | None = None,
) -> Inversion:
    """Find the latents of images.

    Args:
        images: [..., h, w, c] in [-1, 1]. Of other sizes than the generator's, the square in the middle is resized.
        generator: the generator that is to draw them.
        method: "encoder" takes what the encoder says; "optimise" searches from samples of the generator; "auto" takes a
            few steps from what the encoder says, and searches from samples where there is no encoder.
        encoder: reads latents from images.
        distance: what optimisation compares beside pixels.
        clip: whether the images [..., t, h, w, c] are frames of clips, whose latents then move smoothly.
        before: the inversion of the frames that a single clip goes on from.
        settings: of `configs/inversion.py`; None for its defaults.

    Returns:
        ws [..., l, d] and all else with the leading axes of the images; noise maps are of the flattened ones.

    Raises:
        ValueError: the method is unknown, lacks its encoder or does not know the space, the images are no such numbers,
            or the encoder is not of this generator.
        FloatingPointError: the loss is not finite.
    """
    check_choice("method", method, METHODS)
    if method == "encoder" and encoder is None:
        raise ValueError("method='encoder' needs an encoder, and none is registered for this generator: give one")
    settings = settings or defaults.get_config()
    check_space(method, settings.space)
    leading, images = np.shape(images)[:-3], fitted(images, generator)
    flat = images.reshape(-1, *images.shape[-3:])
    clips = images if clip and len(leading) > 1 else flat[None]
    clips = clips.reshape(-1, *clips.shape[-4:])
    space = LatentSpace.of(generator.mapping)
    found = [_invert(one, generator, space, method, encoder, distance, clip, before, settings) for one in clips]
    ws, drawn, psnr, deviations, noise = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    ws, drawn, psnr, deviations = (x.reshape((*leading, *x.shape[1:])) for x in (ws, drawn, psnr, deviations))
    return Inversion(ws, drawn, psnr, deviations, noise)


def check_space(method: str, space: str) -> None:
    """Raise ValueError if the method finds no latents of this space."""
    if method == "encoder" and space == "w":
        raise ValueError("an encoder's latents are of W+: space=w is for the methods optimise and auto")


def fitted(images: Shaped[Array | np.ndarray, "..."], generator: sg2.Generator) -> Float[np.ndarray, "*n h w c"]:
    """Images [..., h, w, c] of the generator's size: the square in the middle, resized; a warning says so.

    Raises:
        ValueError: they are integers, have other channels than the generator's, or there are none.
    """
    size, channels, shape = generator.img_resolution, generator.img_channels, np.shape(images)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images must be numbers in [-1, 1], got {images.dtype}: give images / 127.5 - 1")
    if len(shape) < 3 or shape[-1] != channels or 0 in shape:
        raise ValueError(f"images must be [..., h, w, {channels}] for this generator, got shape {list(shape)}")
    values = np.asarray(images, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("images hold numbers that are not finite (NaN or infinite)")
    h, w = shape[-3:-1]
    if (h, w) == (size, size):
        return values
    what = "resized" if h == w else "cut to the square in the middle and resized"
    warnings.warn(f"images of {w} x {h} are {what} to the generator's {size} x {size}", stacklevel=3)
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return media.resize(values[..., top : top + side, left : left + side, :], size)


def encode(
    images: Float[np.ndarray, "n h w c"], encoder: ImageEncoder, generator: sg2.Generator
) -> Float[np.ndarray, "n l d"]:
    """An encoder's latents, in batches of one size. Raises ValueError if its latents are not the generator's."""
    ws = in_batches(encoder, min(len(images), render_batch(generator.img_resolution)), images)
    sizes = (len(images), generator.num_ws, generator.w_dim)
    if np.shape(ws) != sizes:
        raise ValueError(
            f"the encoder gives latents of shape {list(np.shape(ws)[1:])}, and this generator's are "
            f"{list(sizes[1:])}: it is for another generator"
        )
    return ws


def _invert(
    images: Float[np.ndarray, "n h w c"],
    generator: sg2.Generator,
    space: LatentSpace,
    method: str,
    encoder: ImageEncoder | None,
    distance: Distance | None,
    clip: bool,
    before: Inversion | None,
    settings: ConfigDict,
) -> Inversion:
    start = None if encoder is None or method == "optimise" else encode(images, encoder, generator)
    if start is not None and method == "encoder":
        return measured(start, images, generator, space)
    return optimise(images, generator, settings, start, distance, clip=clip, before=before, space=space)
