"""Pictures [n, h, w, c] made ready for networks: checked, and resized as pillow, torch and published networks do it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Shaped

from stylegan2_flax.checks import checked_array


def checked(images: Shaped[Array | np.ndarray, "..."], name: str, shape: tuple[int | str, ...]) -> Array:
    """The images as a float32 array of this shape, where a word stands for any size.

    Raises:
        ValueError: they have another shape, or are integers, which are no numbers in [-1, 1].
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"{name} must be numbers in [-1, 1], got {images.dtype}: give {name} / 127.5 - 1")
    return checked_array(images, name, shape)


def bilinear(images: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """As pillow's BILINEAR, a triangle as wide as an output pixel where the image shrinks; size: (height, width)."""
    if images.shape[1:3] == size:
        return images
    shape = (images.shape[0], *size, images.shape[3])
    return jax.image.resize(images, shape, "bilinear", antialias=True, precision=jax.lax.Precision.HIGHEST)


def area_average(images: Float[Array, "n h w c"], size: tuple[int, int]) -> Float[Array, "n h2 w2 c"]:
    """As torch's AdaptiveAvgPool2d: the mean of all pixels that an output pixel touches; size: (height, width)."""
    return _along_both(images, *map(_average_matrix, images.shape[1:3], size))


def upsample_add(small: Float[Array, "n h w c"], lateral: Float[Array, "n h2 w2 c"]) -> Float[Array, "n h2 w2 c"]:
    """Enlarges `small` to the size of `lateral` and adds it; bilinear, corner pixels onto corner pixels."""
    return _along_both(small, *map(_corner_matrix, small.shape[1:3], lateral.shape[1:3])) + lateral


def _along_both(images: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    return jnp.einsum("yh,nhwc,xw->nyxc", rows, images, columns, precision="highest")


def _average_matrix(size: int, out: int) -> Float[np.ndarray, "{out} {size}"]:
    starts, ends = np.arange(out) * size // out, -(-(np.arange(out) + 1) * size // out)
    pixels = np.arange(size)
    touched = (pixels >= starts[:, None]) & (pixels < ends[:, None])
    return (touched / touched.sum(axis=1, keepdims=True)).astype(np.float32)


def _corner_matrix(size: int, out: int) -> Float[np.ndarray, "{out} {size}"]:
    positions = np.linspace(0, size - 1, out)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(size))).astype(np.float32)
