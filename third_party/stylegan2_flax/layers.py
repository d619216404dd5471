"""The layers of StyleGAN2. Attribute names are those of published checkpoints; arrays keep torch's layout."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from stylegan2_flax import ops
from stylegan2_flax.resample import Number


class Buffer(nnx.Variable):
    """State that is no parameter: the mean latent, noise images, filters."""


class FullyConnectedLayer(nnx.Module):
    """Linear layer with equalised learning rate (Karras et al. 2018, arXiv:1710.10196)."""

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
        self.bias = nnx.Param(jnp.full((out_features,), bias_init))

    def __call__(self, x: Float[Array, "b i"]) -> Float[Array, "b o"]:
        return ops.fully_connected(x, self.weight[...], self.bias[...], self.activation, self.lr_multiplier)


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
        resample_filter: Sequence[Number] | None = (1, 3, 3, 1),
        conv_clamp: Number | None = None,
        rngs: nnx.Rngs,
    ):
        self.up, self.use_noise, self.activation, self.conv_clamp = up, use_noise, activation, conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0, rngs=rngs)
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (out_channels, in_channels, kernel_size, kernel_size)))
        self.bias = nnx.Param(jnp.zeros((out_channels,)))
        self.resample_filter = Buffer(ops.setup_filter(resample_filter))
        if use_noise:
            self.noise_const = Buffer(jax.random.normal(rngs.params(), (resolution, resolution)))
            self.noise_strength = nnx.Param(jnp.zeros(()))

    def __call__(
        self,
        x: Float[Array, "b h w i"],
        w: Float[Array, "b d"],
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
        gain: Number = 1.0,
    ) -> Float[Array, "b h2 w2 o"]:
        x = ops.modulated_conv2d(
            x,
            self.weight[...],
            self.affine(w),
            noise=self._noise(x, noise_mode, key),
            up=self.up,
            padding=self.weight.shape[-1] // 2,
            resample_filter=self.resample_filter[...],
            flip_weight=self.up == 1,
        )
        return ops.bias_act(
            x,
            self.bias[...],
            act=self.activation,
            gain=ops.activation_gain(self.activation) * gain,
            clamp=None if self.conv_clamp is None else self.conv_clamp * gain,
        )

    def _noise(self, x: Array, noise_mode: str, key: Array | None) -> Array | None:
        if not self.use_noise or noise_mode == "none":
            return None
        if noise_mode == "const":
            return (self.noise_const[...] * self.noise_strength[...])[None, :, :, None]
        if key is None:
            raise ValueError('noise_mode="random" needs a key: pass key=jax.random.key(...)')
        shape = (x.shape[0], x.shape[1] * self.up, x.shape[2] * self.up, 1)
        return jax.random.normal(key, shape) * self.noise_strength[...]


class ToRGBLayer(nnx.Module):
    """Modulated 1×1 convolution to image channels, without demodulation."""

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

    def __call__(self, x: Float[Array, "b h w i"], w: Float[Array, "b d"]) -> Float[Array, "b h w o"]:
        styles = self.affine(w) / math.sqrt(x.shape[-1])
        x = ops.modulated_conv2d(x, self.weight[...], styles, demodulate=False)
        return ops.bias_act(x, self.bias[...], clamp=self.conv_clamp)


class SkipLayer(nnx.Module):
    """The residual path of a resnet block: 1×1 convolution, upsampled."""

    def __init__(
        self, in_channels: int, out_channels: int, *, resample_filter: Sequence[Number] | None, rngs: nnx.Rngs
    ):
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (out_channels, in_channels, 1, 1)))
        self.resample_filter = Buffer(ops.setup_filter(resample_filter))

    def __call__(self, x: Float[Array, "b h w i"], gain: Number) -> Float[Array, "b h2 w2 o"]:
        weight = self.weight[...] / math.sqrt(x.shape[-1])
        return ops.conv2d_resample(x, weight, self.resample_filter[...], up=2, flip_weight=False) * gain
