"""The operations of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): pure functions on NHWC activations.

Weights keep torch's layout: convolutions OIHW, fully connected layers [out, in].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from stylegan2_flax.resample import (
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
    resample_filter: Float[Array, "..."] | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
) -> Float[Array, "n h2 w2 o"]:
    """Convolution with input channels scaled by each sample's styles, outputs scaled back to unit size; plus noise.

    Section 2.2 of the paper scales the weights. Scaling the activations before and after one shared convolution gives
    the same numbers, and needs no kernel per sample. The result has the dtype of x; weight and styles are float32.
    """
    if weight.shape[2:] == (1, 1) and up == 1 and padding == 0:
        # To images: a kernel per sample is tiny and needs no scaled copy of x. A fifth of the time on CPU at 256 px.
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
    """Weight and styles of a demodulated convolution, scaled so that it stays within the range of float16.

    Demodulation undoes any factor of an output channel's weights and of a sample's styles, so the factors need no
    gradient. The largest weight of each output channel becomes 1 / sqrt(i kh kw), the largest style of each sample 1:
    no sum exceeds sqrt(i kh kw) max|x|. NVIDIA's networks do the same (Karras et al. 2020, arXiv:2006.06676).
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
    """The default gain of an activation of `bias_act`; ValueError for an unknown name."""
    if act not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {act!r}: choose one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[act][2]


def bias_act(
    x: Float[Array, "..."],
    b: Float[Array, " c"] | None = None,
    dim: int = -1,
    act: str = "linear",
    alpha: Number | None = None,
    gain: Number | None = None,
    clamp: Number | None = None,
) -> Float[Array, "..."]:
    """Adds a bias along axis `dim`, applies an activation, multiplies by a gain, clips to ±clamp: in this order."""
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
    """Linear layer with equalised learning rate: weight * lr_multiplier / sqrt(in), bias * lr_multiplier."""
    weight = weight * (lr_multiplier / weight.shape[1] ** 0.5)
    return bias_act(jnp.matmul(x, weight.T, precision="highest"), None if b is None else b * lr_multiplier, act=act)


def normalize_2nd_moment(x: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
    """Scales x to a mean square of one along an axis."""
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=axis, keepdims=True) + 1e-8)


def minibatch_stddev(
    x: Float[Array, "n h w c"], group_size: int | None = 4, num_channels: int = 1
) -> Float[Array, "n {num_channels}"]:
    """How much the samples of a group differ: one number per sample and feature group, to be tiled over the image.

    A group is every (n / group_size)-th sample; None takes the whole batch, and so does a size above n. Otherwise n
    must be a multiple of group_size, and c of num_channels: ValueError if not.
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
