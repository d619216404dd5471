"""R^2 of predictions; L1, PSNR and SSIM of images."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def r2(predicted: Float[Array | np.ndarray, "n f"], target: Float[Array | np.ndarray, "n f"]) -> Float[np.ndarray, "f"]:
    """Coefficient of determination of each factor: 1 - sum((target - predicted)^2) / sum((target - mean target)^2).

    1 is exact, 0 is as good as predicting the mean, and there is no lower bound. Unlike a squared correlation it
    counts an offset or a wrong scale as an error.

    Raises:
        ValueError: a target is constant.
    """
    from sklearn.metrics import r2_score  # a second to import, which most commands never need

    predicted, target = np.asarray(predicted), np.asarray(target)
    spread = np.ptp(target, axis=0)
    if not np.all(spread > 0):
        raise ValueError(
            f"R^2 needs targets that vary; column {int(np.argmin(spread))} of {target.shape[1]} is constant"
        )
    return np.asarray(r2_score(target, predicted, multioutput="raw_values"))


def psnr(images: Float[Array, "n h w c"], truth: Float[Array, "n h w c"]) -> Float[Array, "n"]:
    """Peak signal-to-noise ratio of each image in dB: 10 log10(4 / mean squared error), as [-1, 1] has a range of 2."""
    error = jnp.mean(jnp.square(images - truth), axis=(1, 2, 3))
    return 10.0 * jnp.log10(4.0 / jnp.maximum(error, 1e-12))


def l1(images: Float[Array, "n h w c"], truth: Float[Array, "n h w c"]) -> Float[Array, "n"]:
    """Mean absolute error of each image, with pixels in [0, 1], as the literature gives it."""
    return jnp.mean(jnp.abs(images - truth), axis=(1, 2, 3)) / 2.0


def ssim(images: Float[Array, "n h w c"], truth: Float[Array, "n h w c"]) -> Float[Array, "n"]:
    """Structural similarity of each image (Wang et al. 2004): 1 for equal images, about 0 for unrelated ones.

    Means, variances and covariance are of a Gaussian window of 11 pixels, sigma 1.5, wherever it fits into the image.
    With c1 = 0.02^2 and c2 = 0.06^2, as [-1, 1] has a range of 2, it is the mean over places and channels of
    (2 m1 m2 + c1) (2 cov + c2) / ((m1^2 + m2^2 + c1) (var1 + var2 + c2)).

    Raises:
        ValueError: the images are smaller than the window.
    """
    if min(images.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} pixels a side; got {list(images.shape)}")
    return _ssim(images, truth)


SSIM_WINDOW = 11
"""Pixels of a side of the window of `ssim`."""


@jax.jit
def _ssim(images: Float[Array, "n h w c"], truth: Float[Array, "n h w c"]) -> Float[Array, "n"]:
    places = np.arange(SSIM_WINDOW, dtype=np.float32) - SSIM_WINDOW // 2
    window = np.exp(-0.5 * (places / 1.5) ** 2)
    window /= window.sum()

    def blur(values: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        for axis in (1, 2):
            width = values.shape[axis] - SSIM_WINDOW + 1
            slices = (jax.lax.slice_in_dim(values, i, i + width, axis=axis) for i in range(SSIM_WINDOW))
            values = sum((weight * part for weight, part in zip(window, slices, strict=True)), start=jnp.zeros(()))
        return values

    m1, m2 = blur(images), blur(truth)
    var1, var2 = blur(jnp.square(images)) - jnp.square(m1), blur(jnp.square(truth)) - jnp.square(m2)
    cov, c1, c2 = blur(images * truth) - m1 * m2, 0.02**2, 0.06**2
    luminance = (2.0 * m1 * m2 + c1) / (jnp.square(m1) + jnp.square(m2) + c1)
    return jnp.mean(luminance * (2.0 * cov + c2) / (var1 + var2 + c2), axis=(1, 2, 3))
