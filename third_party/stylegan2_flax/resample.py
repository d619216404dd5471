"""Resampling of NHWC images with FIR filters, alone or combined with a convolution, as in StyleGAN2.

Convolution weights are OIHW, as in torch. A filter has one dimension, and is then applied along each axis, or two.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from stylegan2_flax.strided import strided_conv

Ints = int | Sequence[int]
Number = float | int
Filter = Float[Array, " taps"] | Float[Array, "fh fw"]


def setup_filter(
    taps: Sequence[Number] | Sequence[Sequence[Number]] | np.ndarray | Array | None,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: Number = 1.0,
    separable: bool | None = None,
) -> Filter:
    """Make a FIR filter for `upfirdn2d`. [1, 3, 3, 1] gives its outer product divided by 64.

    Args:
        taps: 1-D or 2-D; None for the identity.
        normalize: whether to scale the filter to a sum of one.
        flip_filter: whether to flip the filter.
        gain: factor on the filter; a 1-D filter gets its square root, since it is applied twice.
        separable: whether to keep a 1-D filter 1-D; by default if it has 8 taps or more.

    Raises:
        ValueError: the filter has more than two dimensions or no taps, or a 2-D filter is to be separable.
    """
    f = np.asarray(1.0 if taps is None else taps, np.float32)
    if f.ndim > 2 or f.size == 0:
        raise ValueError(f"a filter has one or two dimensions and at least one tap, got shape {f.shape}")
    f = np.atleast_1d(f)
    if separable is None:
        separable = f.ndim == 1 and f.size >= 8
    if f.ndim == 1 and not separable:
        f = np.outer(f, f)
    if separable and f.ndim != 1:
        raise ValueError("a 2-D filter cannot be kept separable: give its 1-D taps")
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = np.flip(f)
    return jnp.asarray(f * gain ** (f.ndim / 2), jnp.float32)


def upfirdn2d(
    x: Float[Array, "n h w c"],
    f: Filter | None,
    up: Ints = 1,
    down: Ints = 1,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Upsample by inserting zeros, pad or crop, apply a filter, and subsample.

    Args:
        x: images.
        f: the filter; None for the identity.
        up: upsampling factor, or factors (x, y).
        down: subsampling factor, or factors (x, y).
        padding: one number, (x, y) or (left, right, top, bottom), in pixels of the upsampled image. Negative crops.
        flip_filter: False convolves, True correlates.
        gain: factor on the result.
    """
    up_x, up_y = _pair(up, "up")
    down_x, down_y = _pair(down, "down")
    left, right, top, bottom = _padding(padding)
    if f is None:
        f = jnp.ones((1, 1), x.dtype)
    f = (f if flip_filter else jnp.flip(f)).astype(x.dtype)
    x = lax.pad(
        x,
        jnp.zeros((), x.dtype),
        ((0, 0, 0), (top, bottom + up_y - 1, up_y - 1), (left, right + up_x - 1, up_x - 1), (0, 0, 0)),
    )
    if f.ndim == 1:
        x = _correlate(x, f[:, None], (down_y, 1))
        return _correlate(x, f[None, :] * gain, (1, down_x))
    return _correlate(x, f * gain, (down_y, down_x))


def upsample2d(
    x: Float[Array, "n h w c"],
    f: Filter | None,
    up: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Upsample images by `up`, aligned as in StyleGAN2, without changing their mean. See `upfirdn2d`."""
    up_x, up_y = _pair(up, "up")
    pads = _resample_padding(_padding(padding), f, (up_x, up_y), up=True)
    return upfirdn2d(x, f, up=(up_x, up_y), padding=pads, flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: Float[Array, "n h w c"],
    f: Filter | None,
    down: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Downsample images by `down`. See `upfirdn2d`."""
    factors = _pair(down, "down")
    pads = _resample_padding(_padding(padding), f, factors, up=False)
    return upfirdn2d(x, f, down=factors, padding=pads, flip_filter=flip_filter, gain=gain)


def filter2d(
    x: Float[Array, "n h w c"],
    f: Filter | None,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Filter images without changing their size. See `upfirdn2d`."""
    fw, fh = _filter_size(f)
    left, right, top, bottom = _padding(padding)
    pads = (left + fw // 2, right + (fw - 1) // 2, top + fh // 2, bottom + (fh - 1) // 2)
    return upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, gain=gain)


def conv2d_resample(
    x: Float[Array, "n h w i"],
    weight: Float[Array, "o i kh kw"],
    f: Filter | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Float[Array, "n h2 w2 o"]:
    """Convolve images after upsampling, or before downsampling.

    Args:
        x: images.
        weight: kernel.
        f: filter for the resampling; None for the identity.
        up, down: resampling factors, at most one of them above 1.
        padding: as in `upfirdn2d`, in pixels of the upsampled images.
        flip_weight: True correlates, as the convolutions of torch and JAX do; False convolves.
        flip_filter: as in `upfirdn2d`.

    Raises:
        ValueError: both factors are above 1.
    """
    if up > 1 and down > 1:
        raise ValueError(f"conv2d_resample resamples one way at a time, got up={up} and down={down}")
    kernel = weight if flip_weight else jnp.flip(weight, (2, 3))
    pads = _padding(padding)
    if (factor := max(up, down)) > 1:
        pads = _resample_padding(pads, f, (factor, factor), up > 1)
    left, right, top, bottom = pads
    if up > 1 and weight.shape[2:] == (1, 1):  # commutes with the filter, so it runs on the small image
        return upfirdn2d(_conv(x, kernel), f, up=up, padding=pads, flip_filter=flip_filter, gain=float(up**2))
    if up > 1:  # filter after the convolution, which then need not multiply inserted zeros
        kh, kw = kernel.shape[2:]
        pads = (left - kw + 1, right - kw + up, top - kh + 1, bottom - kh + up)
        x = _transposed_conv(x, kernel, up)
        return upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, gain=float(up**2))
    if down > 1 and weight.shape[2:] == (1, 1):
        return _conv(upfirdn2d(x, f, down=down, padding=pads, flip_filter=flip_filter), kernel)
    if down > 1:
        x = upfirdn2d(x, f, padding=pads, flip_filter=flip_filter)
        return strided_conv(x, kernel.astype(x.dtype), down)
    return _conv(x, kernel, ((top, bottom), (left, right)))


def separable_taps(f: Filter) -> Float[Array, " t"]:
    """The 1-D taps of a filter that `setup_filter` made from 1-D taps. A 1-D filter is returned as it is.

    Applying the taps along both axes takes half the operations of the 2-D filter, and the gradient a quarter of the
    time.
    """
    return f if f.ndim == 1 else jnp.sum(f, axis=0) / jnp.sqrt(jnp.sum(f))


def _pair(value: Ints, name: str) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name} is one positive integer or two (x, y), got {value}")
    return pair


def _padding(padding: Ints) -> tuple[int, int, int, int]:
    pads = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    if len(pads) == 2:
        pads = (pads[0], pads[0], pads[1], pads[1])
    if len(pads) != 4:
        raise ValueError(f"padding is one integer, (x, y) or (left, right, top, bottom), got {padding}")
    return pads


def _filter_size(f: Array | None) -> tuple[int, int]:
    """Width and height."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def _resample_padding(
    pads: tuple[int, int, int, int], f: Array | None, factors: tuple[int, int], up: bool
) -> tuple[int, int, int, int]:
    """Padding that keeps a resampled image aligned with its source, along an axis whose factor is 1 as well."""
    padded = list(pads)
    for axis, (taps, factor) in enumerate(zip(_filter_size(f), factors, strict=True)):
        padded[2 * axis] += (taps + (factor - 1 if up else 1 - factor)) // 2
        padded[2 * axis + 1] += (taps - factor) // 2
    return padded[0], padded[1], padded[2], padded[3]


def _correlate(x: Array, f: Array, strides: tuple[int, int]) -> Array:
    """Correlate every channel with a small kernel, as shifted sums. (A depthwise convolution is 50x slower on CPU.)"""
    n, h, w, c = x.shape
    last_y, last_x = h - f.shape[0] + 1, w - f.shape[1] + 1
    total = jnp.zeros((), x.dtype)
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            total += lax.slice(x, (0, i, j, 0), (n, i + last_y, j + last_x, c), (1, *strides, 1)) * f[i, j]
    return total


def _conv(x: Array, kernel: Array, padding: Sequence[tuple[int, int]] = ((0, 0), (0, 0))) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (1, 1),
        padding,
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=lax.Precision.HIGHEST,  # float32 is float32 on every device: no TF32, no bfloat16 passes
    )


def _transposed_conv(x: Array, kernel: Array, up: int) -> Array:
    """A transposed convolution as one matrix product.

    Each pixel is multiplied with every tap of the kernel, and the products are added to the output pixels. On CPU this
    is fast, and so are its derivatives of every order; the kernel gradient of a convolution with lhs_dilation takes 25
    times as long.
    """
    n, h, w, in_ = x.shape
    out, _, kh, kw = kernel.shape
    taps = jnp.flip(kernel, (2, 3)).transpose(1, 2, 3, 0).reshape(in_, kh * kw * out).astype(x.dtype)
    products = jnp.matmul(x.reshape(n * h * w, in_), taps, precision=lax.Precision.HIGHEST)
    products = products.reshape(n, h, w, kh, kw, out)
    zero = jnp.zeros((), x.dtype)
    total = zero
    for i in range(kh):
        for j in range(kw):
            places = ((0, 0, 0), (i, kh - 1 - i, up - 1), (j, kw - 1 - j, up - 1), (0, 0, 0))
            total += lax.pad(products[:, :, :, i, j], zero, places)
    return total
