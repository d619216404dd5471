"""Resampling of NHWC images with FIR filters, alone or together with a convolution, as StyleGAN2 does it.

Convolution weights are OIHW, as in torch. A filter is a small array of one dimension (applied along each axis) or two.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

Ints = int | Sequence[int]
Number = float | int


def setup_filter(
    taps: Sequence[Number] | Sequence[Sequence[Number]] | np.ndarray | Array | None,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: Number = 1.0,
    separable: bool | None = None,
) -> Float[Array, "..."]:
    """Makes a FIR filter for `upfirdn2d`: [1, 3, 3, 1] gives its outer product over 64.

    taps: 1-D or 2-D, or None for the identity. normalize: the filter sums to one. gain: per pixel of two dimensions.
    separable: keep a 1-D filter 1-D, to be applied along each axis; by default from 8 taps on.
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
    f: Float[Array, "..."] | None,
    up: Ints = 1,
    down: Ints = 1,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Zero-inserts (trailing zeros too), pads or crops, filters, subsamples.

    up, down: one factor, or (x, y).
    padding: one number, (x, y) or (left, right, top, bottom), in pixels of the upsampled image; negative crops.
    The filter is convolved; flip_filter=True correlates instead.
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
        return _correlate(x, f[None, :], (1, down_x)) * gain
    return _correlate(x, f * gain, (down_y, down_x))


def upsample2d(
    x: Float[Array, "n h w c"],
    f: Float[Array, "..."] | None,
    up: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Enlarges images by `up`, aligned as StyleGAN2 aligns them; keeps their brightness."""
    up_x, up_y = _pair(up, "up")
    pads = _resample_padding(_padding(padding), f, (up_x, up_y), (1, 1))
    gain = gain * up_x * up_y
    if up_x == up_y and x.shape[-1] <= 4:
        # Images: a dense convolution. The gradient of shifted sums makes a step of a 64 px generator 9 % slower on CPU,
        # and half as long again to compile.
        identity = jnp.eye(x.shape[-1], dtype=x.dtype)[:, :, None, None]
        f = _two_dimensional(f, flip_filter) * gain
        return _upsampling_conv(x, identity, f, up_x, pads, lax.Precision.HIGHEST)
    return upfirdn2d(x, f, up=(up_x, up_y), padding=pads, flip_filter=flip_filter, gain=gain)


def downsample2d(
    x: Float[Array, "n h w c"],
    f: Float[Array, "..."] | None,
    down: Ints = 2,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Shrinks images by `down`."""
    factors = _pair(down, "down")
    pads = _resample_padding(_padding(padding), f, (1, 1), factors)
    return upfirdn2d(x, f, down=factors, padding=pads, flip_filter=flip_filter, gain=gain)


def filter2d(
    x: Float[Array, "n h w c"],
    f: Float[Array, "..."] | None,
    padding: Ints = 0,
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Filters images and keeps their size."""
    fw, fh = _filter_size(f)
    left, right, top, bottom = _padding(padding)
    pads = (left + fw // 2, right + (fw - 1) // 2, top + fh // 2, bottom + (fh - 1) // 2)
    return upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, gain=gain)


def conv2d_resample(
    x: Float[Array, "n h w i"],
    weight: Float[Array, "o i kh kw"],
    f: Float[Array, "..."] | None = None,
    up: int = 1,
    down: int = 1,
    padding: Ints = 0,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Float[Array, "n h2 w2 o"]:
    """Convolution of an upsampled image, or downsampled convolution of an image; f is the filter of either.

    flip_weight=True correlates, as torch's and JAX's convolutions do; False is a true convolution.
    padding: as `upfirdn2d`'s, in pixels of the upsampled input.
    """
    if up > 1 and down > 1:
        raise ValueError(f"conv2d_resample resamples one way at a time, got up={up} and down={down}")
    kernel = weight if flip_weight else jnp.flip(weight, (2, 3))
    left, right, top, bottom = pads = _resample_padding(_padding(padding), f, (up, up), (down, down))
    if up > 1 and weight.shape[2:] == (1, 1):  # commutes with the filter: cheaper on the small image
        return upfirdn2d(_conv(x, kernel), f, up=up, padding=pads, flip_filter=flip_filter, gain=float(up**2))
    if up > 1:
        # The filter comes last: the large image is convolved by phases.
        kh, kw = weight.shape[2:]
        y = _transposed_conv(x, kernel, up)
        extra_y, extra_x = y.shape[1] - up * x.shape[1], y.shape[2] - up * x.shape[2]
        pads = (left - kw + 1, right - extra_x, top - kh + 1, bottom - extra_y)
        return upfirdn2d(y, f, padding=pads, flip_filter=flip_filter, gain=float(up**2))
    if down > 1 and weight.shape[2:] == (1, 1):
        return _conv(upfirdn2d(x, f, down=down, padding=pads, flip_filter=flip_filter), kernel)
    if down > 1:
        x = upfirdn2d(x, f, padding=pads, flip_filter=flip_filter)
        return _conv(x, kernel, stride=down)
    return _conv(x, kernel, ((top, bottom), (left, right)))


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
    pads: tuple[int, int, int, int], f: Array | None, up: tuple[int, int], down: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Padding that keeps a resampled image aligned with its source."""
    padded = list(pads)
    for axis, taps in enumerate(_filter_size(f)):
        if up[axis] > 1:
            padded[2 * axis] += (taps + up[axis] - 1) // 2
            padded[2 * axis + 1] += (taps - up[axis]) // 2
        if down[axis] > 1:
            padded[2 * axis] += (taps - down[axis] + 1) // 2
            padded[2 * axis + 1] += (taps - down[axis]) // 2
    return padded[0], padded[1], padded[2], padded[3]


def _two_dimensional(f: Array | None, flip_filter: bool) -> Array:
    """The filter as a 2-D correlation kernel."""
    if f is None:
        return jnp.ones((1, 1))
    f = f if f.ndim == 2 else f[:, None] * f[None, :]
    return f if flip_filter else jnp.flip(f)


def _correlate(x: Array, f: Array, strides: tuple[int, int]) -> Array:
    """Every channel with one small 2-D kernel, as shifted sums: XLA fuses them. (A depthwise one took 50x on CPU.)"""
    n, h, w, c = x.shape
    last_y, last_x = h - f.shape[0] + 1, w - f.shape[1] + 1
    total = jnp.zeros((), x.dtype)
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            total += lax.slice(x, (0, i, j, 0), (n, i + last_y, j + last_x, c), (1, *strides, 1)) * f[i, j]
    return total


def _conv(
    x: Array,
    kernel: Array,
    padding: Sequence[tuple[int, int]] = ((0, 0), (0, 0)),
    stride: int = 1,
    precision: lax.Precision | None = None,
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=precision,
    )


def _transposed_conv(x: Array, kernel: Array, up: int) -> Array:
    """Convolves the zero-inserted image, out to where the kernel touches its last pixel (and a few zeros further).

    Pixel up * i + phase sees only every up-th tap: one small convolution for each phase, none of a product with zero.
    """
    n = x.shape[0]
    out, _, kh, kw = kernel.shape
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (max(up - kh, 0), 0), (max(up - kw, 0), 0)))
    kh, kw = kernel.shape[2:]
    taps_y, taps_x = -(-kh // up), -(-kw // up)
    # Padded here, not by the convolution: XLA on CPU takes 25 times as long for the gradient to a kernel that is
    # smaller than the padding makes room for.
    x = jnp.pad(x, ((0, 0), (taps_y - 1, taps_y - 1), (taps_x - 1, taps_x - 1), (0, 0)))
    rows = []
    for phase_y in range(up):
        row = []
        for phase_x in range(up):
            small = kernel[:, :, (kh - 1 - phase_y) % up :: up, (kw - 1 - phase_x) % up :: up]
            row.append(_conv(x[:, taps_y - small.shape[2] :, taps_x - small.shape[3] :], small))
        rows.append(jnp.stack(row, axis=3))
    y = jnp.stack(rows, axis=2)
    return y.reshape(n, up * y.shape[1], up * y.shape[3], out)


def _upsampling_conv(
    x: Array,
    kernel: Array,
    f: Array,
    up: int,
    pads: tuple[int, int, int, int],
    precision: lax.Precision | None = None,
) -> Array:
    """Upsampling by f and a convolution, as one convolution of the small image that makes all phases of a pixel.

    Forward and backward on two CPU cores, batch 8, at 32 -> 64, 16 -> 32, 8 -> 16 pixels with 32 -> 16, 64 -> 32,
    96 -> 64 channels: this form 7, 7, 5 ms; a convolution of the zero-inserted image, then the filter, 26, 24, 16 ms;
    phase convolutions of 2 * 2 taps, then the filter, 43, 40, 29 ms. (Those are faster forward: 1.6, 0.8, 0.6 ms
    against 3.6, 3.4, 1.5 ms, having a quarter of the products; XLA is slow at their gradients.)
    """
    n, h, w, _ = x.shape
    out, in_, kh, kw = kernel.shape
    left, right, top, bottom = pads
    rows, rows_before = _phases(up, f.shape[0], kh, top)
    cols, cols_before = _phases(up, f.shape[1], kw, left)
    taps_y, taps_x = rows.shape[1], cols.shape[1]

    fold = jnp.einsum("ptai,qubj,ab->ijpqtu", rows, cols, f, precision="highest").reshape(kh * kw, -1)
    folded = jnp.matmul(kernel.reshape(-1, kh * kw), fold, precision="highest")
    folded = folded.reshape(out, in_, up, up, taps_y, taps_x).transpose(2, 3, 0, 1, 4, 5)
    folded = folded.reshape(up * up * out, in_, taps_y, taps_x)

    height = h * up + top + bottom - f.shape[0] - kh + 2
    width = w * up + left + right - f.shape[1] - kw + 2
    small_h, small_w = -(-height // up), -(-width // up)
    rows_after = small_h + taps_y - 1 - h - rows_before
    cols_after = small_w + taps_x - 1 - w - cols_before
    y = _conv(x, folded, ((rows_before, rows_after), (cols_before, cols_after)), precision=precision)
    y = y.reshape(n, small_h, small_w, up, up, out).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(n, small_h * up, small_w * up, out)[:, :height, :width]


def _phases(up: int, filter_taps: int, kernel_taps: int, pad: int) -> tuple[Array, int]:
    """Which taps a of the filter and k of the kernel meet in one axis: [phase, tap of the folded kernel, a, k], 0 or 1.

    Pixel up * q + phase sees pixel q + e of the small image where a + k = up * e + pad - phase. Also returns the
    padding before the small image.
    """
    first_e = -(pad // up)
    last_e = (filter_taps + kernel_taps - 2 - pad + up - 1) // up
    phase, e, a, k = np.ogrid[:up, first_e : last_e + 1, :filter_taps, :kernel_taps]
    return jnp.asarray(a + k == up * e + pad - phase, jnp.float32), -first_e
