"""The operations of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958), as pure functions of NHWC activations.

Weights keep torch's layout: convolutions OIHW, fully connected layers [out, in].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from stylegan2_flax.resample import (
    Filter,
    Ints,
    Number,
    conv2d_resample,
    downsample2d,
    filter2d,
    setup_filter,
    upfirdn2d,
    upsample2d,
)

__all__ = [
    "activation_gain",
    "bias_act",
    "conv2d_resample",
    "downsample2d",
    "filter2d",
    "fully_connected",
    "minibatch_stddev",
    "modulated_conv2d",
    "normalize_2nd_moment",
    "normalize_for_float16",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]


def modulated_conv2d(
    x: Float[Array, "n h w i"],
    weight: Float[Array, "o i kh kw"],
    styles: Float[Array, "n i"],
    noise: Float[Array, "#n h2 w2 1"] | None = None,
    up: int = 1,
    padding: Ints = 0,
    resample_filter: Filter | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
) -> Float[Array, "n h2 w2 o"]:
    """Modulated convolution: input channels are scaled by styles, and outputs normalized to unit variance.

    Section 2.2 of the paper scales the weights. Scaling the activations before and after a shared convolution is
    equivalent, and needs no kernel for each sample. The result has the dtype of x; weight and styles are float32.

    Args:
        x: activations.
        weight: kernel.
        styles: scales of the input channels, for each sample.
        noise: added to the result.
        up: upsampling factor before the convolution.
        padding: as in `upfirdn2d`.
        resample_filter: filter for the upsampling.
        demodulate: whether to normalize the outputs.
        flip_weight: True correlates, False convolves.
    """
    if weight.shape[2:] == (1, 1) and up == 1 and padding == 0:
        # To RGB: kernels for each sample are small, and x needs no scaled copy. A fifth of the time on CPU at 256 px.
        kernels = (weight[None, :, :, 0, 0] * styles[:, None, :]).astype(x.dtype)
        x = jnp.einsum("nhwi,noi->nhwo", x, kernels, precision="highest")
    else:
        x = x * styles.astype(x.dtype)[:, None, None, :]
        x = conv2d_resample(x, weight, resample_filter, up=up, padding=padding, flip_weight=flip_weight)
    if demodulate:
        energy = jnp.matmul(jnp.square(styles), jnp.sum(jnp.square(weight), axis=(2, 3)).T, precision="highest")
        x = x * lax.rsqrt(energy + 1e-8).astype(x.dtype)[:, None, None, :]
    return x if noise is None else x + noise


def normalize_for_float16(
    weight: Float[Array, "o i kh kw"], styles: Float[Array, "n i"]
) -> tuple[Float[Array, "o i kh kw"], Float[Array, "n i"]]:
    """Scale the weight and the styles of a demodulated convolution so that it does not overflow in float16.

    Demodulation cancels a factor on the weights of an output channel and on the styles of a sample, so the factors need
    no gradient. The largest weight of each output channel becomes 1 / sqrt(i kh kw), and the largest style of each
    sample 1: no sum exceeds sqrt(i kh kw) max|x|. NVIDIA's networks do the same (Karras et al. 2020, arXiv:2006.06676).
    """
    fan_in = weight.shape[1] * weight.shape[2] * weight.shape[3]
    largest_weight = lax.stop_gradient(jnp.max(jnp.abs(weight), axis=(1, 2, 3), keepdims=True))
    largest_style = lax.stop_gradient(jnp.max(jnp.abs(styles), axis=1, keepdims=True))
    tiny = 1e-30  # channels of zeros stay zeros
    return weight / (fan_in**0.5 * jnp.maximum(largest_weight, tiny)), styles / jnp.maximum(largest_style, tiny)


# name: (function of x and alpha, default alpha, default gain)
_ACTIVATIONS: dict[str, tuple[Callable[[Array, float], Array], float, float]] = {
    "linear": (lambda x, _: x, 0.0, 1.0),
    "relu": (lambda x, _: jax.nn.relu(x), 0.0, 2**0.5),
    "lrelu": (lambda x, alpha: jax.nn.leaky_relu(x, alpha), 0.2, 2**0.5),
    "tanh": (lambda x, _: jnp.tanh(x), 0.0, 1.0),
    "sigmoid": (lambda x, _: jax.nn.sigmoid(x), 0.0, 1.0),
    "elu": (lambda x, _: jax.nn.elu(x), 0.0, 1.0),
    "selu": (lambda x, _: jax.nn.selu(x), 0.0, 1.0),
    "softplus": (lambda x, _: jax.nn.softplus(x), 0.0, 1.0),
    "swish": (lambda x, _: jax.nn.swish(x), 0.0, 2**0.5),
}


def activation_gain(act: str) -> float:
    """The default gain of an activation of `bias_act`. Raises ValueError if there is no such activation."""
    if act not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {act!r}: choose one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[act][2]


def bias_act(
    x: Float[Array, "*shape"],
    b: Float[Array, " c"] | None = None,
    dim: int = -1,
    act: str = "linear",
    alpha: Number | None = None,
    gain: Number | None = None,
    clamp: Number | None = None,
) -> Float[Array, "*shape"]:
    """Add a bias along axis `dim`, apply an activation, multiply by a gain, and clip to [-clamp, clamp]."""
    default_gain = activation_gain(act)
    function, default_alpha, _ = _ACTIVATIONS[act]
    if b is not None:
        x = x + b.astype(x.dtype).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    x = function(x, default_alpha if alpha is None else alpha)
    gain = default_gain if gain is None else gain
    x = x if gain == 1.0 else x * gain
    return x if clamp is None else jnp.clip(x, -clamp, clamp)


def fully_connected(
    x: Float[Array, "n i"],
    weight: Float[Array, "o i"],
    b: Float[Array, " o"] | None = None,
    act: str = "linear",
    lr_multiplier: Number = 1.0,
) -> Float[Array, "n o"]:
    """Linear layer with equalized learning rate: weight * lr_multiplier / sqrt(in), bias * lr_multiplier."""
    weight = weight * (lr_multiplier / weight.shape[1] ** 0.5)
    return bias_act(jnp.matmul(x, weight.T, precision="highest"), None if b is None else b * lr_multiplier, act=act)


def normalize_2nd_moment(x: Float[Array, "*shape"], axis: int = -1) -> Float[Array, "*shape"]:
    """Scale x to a mean square of one along an axis."""
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=axis, keepdims=True) + 1e-8)


def minibatch_stddev(
    x: Float[Array, "n h w c"], group_size: int | None = 4, num_channels: int = 1
) -> Float[Array, "n {num_channels}"]:
    """Standard deviation over groups of samples, averaged over pixels and channels.

    Source: Karras et al. 2018, arXiv:1710.10196, section 3.

    Args:
        x: activations.
        group_size: samples in a group, which is every (n / group_size)-th sample. None, or a size above n, takes the
            whole batch as one group.
        num_channels: number of channel groups that are averaged separately.

    Raises:
        ValueError: n is not a multiple of the group size, or c not of num_channels.
    """
    n, h, w, c = x.shape
    size = n if group_size is None else min(group_size, n)
    if n % size:
        raise ValueError(f"a batch of {n} is no multiple of the {size} samples that minibatch_stddev compares")
    if c % num_channels:
        raise ValueError(f"{c} channels cannot be split into {num_channels} features")
    y = x.reshape(size, n // size, h, w, num_channels, c // num_channels)
    deviation = jnp.sqrt(jnp.var(y, axis=0) + 1e-8)
    return jnp.tile(jnp.mean(deviation, axis=(1, 2, 4)), (size, 1))
