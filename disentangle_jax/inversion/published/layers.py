"""The layers of the published networks, in inference mode. Arrays are zeros until `state_dict.build` fills them."""

import jax.numpy as jnp
from flax import nnx
from jax import Array, lax
from jaxtyping import Float

from stylegan2_flax import Buffer

_EPSILON = 1e-5


class Conv2d(nnx.Module):
    """Convolution with zeros around the image, so that stride 1 keeps its size."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, bias: bool = False):
        self.stride = stride
        self.weight = nnx.Param(jnp.zeros((out_channels, in_channels, kernel_size, kernel_size)))
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if bias else None

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        weight = self.weight[...]
        pad = weight.shape[-1] // 2
        x = lax.conv_general_dilated(
            x,
            weight,
            (self.stride, self.stride),
            ((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "OIHW", "NHWC"),
            precision="highest",
        )
        return x if self.bias is None else x + _of_channels(self.bias[...], x)


class Linear(nnx.Module):
    """x W^T + b."""

    def __init__(self, in_features: int, out_features: int):
        self.weight = nnx.Param(jnp.zeros((out_features, in_features)))
        self.bias = nnx.Param(jnp.zeros((out_features,)))

    def __call__(self, x: Float[Array, "n i"]) -> Float[Array, "n o"]:
        return jnp.matmul(x, self.weight[...].T, precision="highest") + _of_channels(self.bias[...], x)


class BatchNorm(nnx.Module):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) with the statistics of training."""

    def __init__(self, channels: int):
        self.weight = nnx.Param(jnp.zeros((channels,)))
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.running_mean = Buffer(jnp.zeros((channels,)))
        self.running_var = Buffer(jnp.zeros((channels,)))

    def __call__(self, x: Float[Array, "n *s c"]) -> Float[Array, "n *s c"]:
        scale = self.weight[...] * lax.rsqrt(self.running_var[...] + _EPSILON)
        offset = self.bias[...] - self.running_mean[...] * scale
        return x * _of_channels(scale, x) + _of_channels(offset, x)


class PReLU(nnx.Module):
    """max(x, 0) + weight min(x, 0), one weight for each channel (He et al. 2015, arXiv:1502.01852)."""

    def __init__(self, channels: int):
        self.weight = nnx.Param(jnp.zeros((channels,)))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        return jnp.where(x >= 0, x, x * _of_channels(self.weight[...], x))


def _of_channels(values: Array, x: Array) -> Array:
    """One number for each channel, with as many axes as x."""
    return values.reshape((1,) * (x.ndim - 1) + values.shape)
