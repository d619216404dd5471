"""What happens to pictures before an encoder sees them: pure functions (key, images, ...) -> images.

An encoder that is trained on a generator's clean samples alone fails on a picture that is a little soft, noisy or off
centre. Each function draws a strength for every image, from zero up to its arguments; at zero an image stays as it is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, PRNGKeyArray
from ml_collections import ConfigDict

Images = Float[Array, "n h w c"]

_BLOCK = 8  # pixels of the side of a block that is compressed, as in JPEG


def degrade(key: PRNGKeyArray, images: Images, options: ConfigDict) -> Images:
    """Crop, blur, recolour, compress and add noise, each to some of the images.

    Args:
        key: random key.
        images: images in [-1, 1].
        options: `share`, the probability that an image is changed by a function; and the arguments of the functions:
            `shift`, `zoom`, `blur`, `colour`, `compression`, `noise`.

    Returns:
        images in [-1, 1].
    """
    steps = (
        lambda key, x: crop(key, x, options.shift, options.zoom),
        lambda key, x: blur(key, x, options.blur),
        lambda key, x: recolour(key, x, options.colour),
        lambda key, x: compress(key, x, options.compression),
        lambda key, x: add_noise(key, x, options.noise),
    )
    for step, step_key in zip(steps, jax.random.split(key, len(steps)), strict=True):
        k_step, k_chosen = jax.random.split(step_key)
        chosen = jax.random.bernoulli(k_chosen, options.share, (len(images), 1, 1, 1))
        images = jnp.where(chosen, step(k_step, images), images)
    return jnp.clip(images, -1.0, 1.0)


def crop(key: PRNGKeyArray, images: Images, shift: float, zoom: float) -> Images:
    """Move and scale images about their centre; edges are repeated, pixels interpolated linearly.

    Args:
        key: random key.
        images: the images.
        shift: largest shift along each axis, as a share of the side.
        zoom: largest change of the scale.
    """
    n, height, width, _ = images.shape
    k_shift, k_zoom = jax.random.split(key)
    scale = 1.0 + jax.random.uniform(k_zoom, (n, 1), minval=-zoom, maxval=zoom)
    shifts = jax.random.uniform(k_shift, (2, n, 1), minval=-shift, maxval=shift)

    def weights(size: int, moved: Float[Array, "n 1"]) -> Float[Array, "n {size} {size}"]:
        pixels = jnp.arange(size, dtype=jnp.float32)
        middle = (size - 1) / 2.0
        positions = jnp.clip((pixels[None] - middle) * scale + middle + moved * size, 0.0, size - 1.0)
        return jnp.maximum(0.0, 1.0 - jnp.abs(positions[..., None] - pixels[None, None]))

    return _along_both(weights(height, shifts[0]), images, weights(width, shifts[1]))


def blur(key: PRNGKeyArray, images: Images, most: float) -> Images:
    """Gaussian blur, of standard deviations up to `most` pixels."""
    deviation = jax.random.uniform(key, (len(images), 1, 1), minval=1e-3, maxval=max(most, 2e-3))

    def weights(size: int) -> Float[Array, "n {size} {size}"]:
        pixels = jnp.arange(size, dtype=jnp.float32)
        squares = (pixels[:, None] - pixels[None]) ** 2
        return jax.nn.softmax(-squares[None] / (2.0 * deviation**2), axis=-1)

    return _along_both(weights(images.shape[1]), images, weights(images.shape[2]))


def recolour(key: PRNGKeyArray, images: Images, most: float) -> Images:
    """Change the contrast and the gain and brightness of each channel, by up to `most` each."""
    k_contrast, k_gain, k_bright = jax.random.split(key, 3)
    n, *_, channels = images.shape
    contrast = jax.random.uniform(k_contrast, (n, 1, 1, 1), minval=-most, maxval=most)
    gain = jax.random.uniform(k_gain, (n, 1, 1, channels), minval=-most, maxval=most)
    brightness = jax.random.uniform(k_bright, (n, 1, 1, channels), minval=-most, maxval=most)
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return (mean + (images - mean) * (1.0 + contrast) + 1.0) * (1.0 + gain) - 1.0 + brightness


def compress(key: PRNGKeyArray, images: Images, most: float) -> Images:
    """Round the cosine coefficients of 8 x 8 blocks, as JPEG does, the finer ones more coarsely.

    Args:
        key: random key.
        images: the images.
        most: largest rounding step of a block's mean, in units of the images; that of a coefficient (u, v) is
            1 + u + v times as large.
    """
    n, height, width, channels = images.shape
    over = -height % _BLOCK, -width % _BLOCK
    padded = jnp.pad(images, ((0, 0), (0, over[0]), (0, over[1]), (0, 0)), mode="edge")
    blocks = padded.reshape(n, padded.shape[1] // _BLOCK, _BLOCK, padded.shape[2] // _BLOCK, _BLOCK, channels)
    cosines = _cosines()
    frequencies = jnp.arange(_BLOCK, dtype=jnp.float32)
    finer = (1.0 + frequencies[:, None] + frequencies[None])[None, None, :, None, :, None]
    strength = jax.random.uniform(key, (n, 1, 1, 1, 1, 1), minval=1e-6, maxval=max(most, 2e-6))
    steps = _BLOCK * strength * finer  # the coefficient of a block's mean is 8 times the mean
    coefficients = jnp.einsum("uy,naybxc,vx->naubvc", cosines, blocks, cosines)
    rounded = jnp.round(coefficients / steps) * steps
    blocks = jnp.einsum("uy,naubvc,vx->naybxc", cosines, rounded, cosines)
    return blocks.reshape(padded.shape)[:, :height, :width]


def add_noise(key: PRNGKeyArray, images: Images, most: float) -> Images:
    """Gaussian noise, of standard deviations up to `most`."""
    k_deviation, k_noise = jax.random.split(key)
    deviation = jax.random.uniform(k_deviation, (len(images), 1, 1, 1), maxval=most)
    return images + deviation * jax.random.normal(k_noise, images.shape)


def _along_both(rows: Float[Array, "n y h"], images: Images, columns: Float[Array, "n x w"]) -> Float[Array, "n y x c"]:
    return jnp.einsum("nyh,nhwc,nxw->nyxc", rows, images, columns)


def _cosines() -> Float[np.ndarray, "8 8"]:
    """The orthonormal cosine transform of 8 numbers, as a matrix."""
    from scipy.fft import dct  # slow to import, and most commands degrade no picture

    return np.asarray(dct(np.eye(_BLOCK), axis=0, norm="ortho"), np.float32)
