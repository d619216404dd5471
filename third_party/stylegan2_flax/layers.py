"""The layers of StyleGAN2. Attribute names are those of published checkpoints, and arrays have torch's layout.

Weights and styles are float32; a layer computes in the dtype of its input activations.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from stylegan2_flax import ops
from stylegan2_flax.resample import Number, separable_taps

FILTER = (1, 3, 3, 1)
"""The resampling filter of published networks. Layers that do not resample have it too, as in StyleGAN2-ADA's files."""


class Buffer(nnx.Variable):
    """A variable that is not trained: the mean latent, noise images, filters."""


class FullyConnectedLayer(nnx.Module):
    """Linear layer with equalized learning rate (Karras et al. 2018, arXiv:1710.10196)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: Number = 1.0,
        bias_init: Number = 0.0,
        rngs: nnx.Rngs,
    ):
        self.activation, self.lr_multiplier = activation, lr_multiplier
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (out_features, in_features)) / lr_multiplier)
        self.bias = nnx.Param(jnp.full((out_features,), bias_init, jnp.float32))

    def __call__(self, x: Float[Array, "b i"]) -> Float[Array, "b o"]:
        return ops.fully_connected(x, self.weight[...], self.bias[...], self.activation, self.lr_multiplier)


class Conv2dLayer(nnx.Module):
    """Convolution with equalized learning rate, up- or downsampling, bias and activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[Number] | None = FILTER,
        conv_clamp: Number | None = None,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        self.up = up
        self.down = down
        self.conv_clamp = conv_clamp
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (out_channels, in_channels, kernel_size, kernel_size)))
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if bias else None
        self.resample_filter = filter_buffer(resample_filter)

    def __call__(self, x: Float[Array, "b h w i"], gain: Number = 1.0) -> Float[Array, "b h2 w2 o"]:
        """Apply the layer; `gain` is a factor on the result and on its clamp."""
        weight = self.weight[...]
        x = ops.conv2d_resample(
            x,
            weight / math.sqrt(math.prod(weight.shape[1:])),
            separable_taps(self.resample_filter[...]),
            up=self.up,
            down=self.down,
            padding=weight.shape[-1] // 2,
            flip_weight=self.up == 1,
        )
        bias = None if self.bias is None else self.bias[...]
        return _activate(x, bias, self.activation, gain, self.conv_clamp)


class SynthesisLayer(nnx.Module):
    """Modulated convolution, noise, bias and activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        kernel_size: int = 3,
        up: int = 1,
        use_noise: bool = True,
        activation: str = "lrelu",
        resample_filter: Sequence[Number] | None = FILTER,
        conv_clamp: Number | None = None,
        rngs: nnx.Rngs,
    ):
        self.up = up
        self.use_noise = use_noise
        self.activation = activation
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0, rngs=rngs)
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (out_channels, in_channels, kernel_size, kernel_size)))
        self.bias = nnx.Param(jnp.zeros((out_channels,)))
        self.resample_filter = filter_buffer(resample_filter)
        if use_noise:
            self.noise_const = Buffer(jax.random.normal(rngs.params(), (resolution, resolution)))
            self.noise_strength = nnx.Param(jnp.zeros(()))

    def __call__(
        self,
        x: Float[Array, "b h w i"],
        styles: Float[Array, "b i"],
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
        gain: Number = 1.0,
    ) -> Float[Array, "b h2 w2 o"]:
        """Apply the layer to x with styles from `affine`; `gain` is a factor on the result and on its clamp."""
        weight, noise = self.weight[...], self._noise(x, noise_mode, key)
        if x.dtype == jnp.float16:
            weight, styles = ops.normalize_for_float16(weight, styles)
        x = ops.modulated_conv2d(
            x,
            weight,
            styles,
            noise=None if noise is None else noise.astype(x.dtype),
            up=self.up,
            padding=weight.shape[-1] // 2,
            resample_filter=separable_taps(self.resample_filter[...]),
            flip_weight=self.up == 1,
        )
        return _activate(x, self.bias[...], self.activation, gain, self.conv_clamp)

    def _noise(self, x: Array, noise_mode: str, key: Array | None) -> Array | None:
        if not self.use_noise or noise_mode == "none":
            return None
        if noise_mode == "const":  # [h, w], or [b, h, w] where an inversion gave every image its own
            noise = (self.noise_const[...] * self.noise_strength[...])[..., None]
            return noise if noise.ndim == 4 else noise[None]
        if key is None:
            raise ValueError('noise_mode="random" needs a key: pass key=jax.random.key(...)')
        shape = (x.shape[0], x.shape[1] * self.up, x.shape[2] * self.up, 1)
        return jax.random.normal(key, shape) * self.noise_strength[...]


class ToRGBLayer(nnx.Module):
    """Modulated 1×1 convolution to image channels, without demodulation; always float32."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        *,
        conv_clamp: Number | None = None,
        rngs: nnx.Rngs,
    ):
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0, rngs=rngs)
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (out_channels, in_channels, 1, 1)))
        self.bias = nnx.Param(jnp.zeros((out_channels,)))

    def __call__(self, x: Float[Array, "b h w i"], styles: Float[Array, "b i"]) -> Float[Array, "b h w o"]:
        styles = styles / math.sqrt(x.shape[-1])
        x = ops.modulated_conv2d(x.astype(jnp.float32), self.weight[...], styles, demodulate=False)
        return ops.bias_act(x, self.bias[...], clamp=self.conv_clamp)


def filter_buffer(taps: Sequence[Number] | None) -> Buffer:
    """The filter of a layer as a buffer: 2-D as in NVIDIA's checkpoints, the outer product of 1-D taps."""
    if taps is not None and np.ndim(taps) > 1:
        raise ValueError(f"resample_filter is given by its taps along one axis, got {np.ndim(taps)} dimensions")
    return Buffer(ops.setup_filter(taps))


def call_block(block: nnx.Module, remat: bool, *arrays: Any, **options: Any) -> Any:
    """Call `block(*arrays, **options)`. With `remat`, gradients recompute the activations of the block."""
    if not remat:
        return block(*arrays, **options)  # pyright: ignore[reportCallIssue]
    graphdef, state = nnx.split(block)
    return jax.checkpoint(lambda state, *arrays: nnx.merge(graphdef, state)(*arrays, **options))(state, *arrays)


def half_precision_from(img_resolution: int, num_fp16_res: int) -> int:
    """The lowest of the num_fp16_res (0: four) resolutions that may use half precision; at least 8 px."""
    return max(2 * img_resolution >> (num_fp16_res or 4), 8)


def _activate(x: Array, bias: Array | None, activation: str, gain: Number, clamp: Number | None) -> Array:
    return ops.bias_act(
        x,
        bias,
        act=activation,
        gain=ops.activation_gain(activation) * gain,
        clamp=None if clamp is None else clamp * gain,
    )
