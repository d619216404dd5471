"""The discriminator of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) as Flax NNX modules.

Attribute paths are the names in published checkpoints (`b64.conv0.weight`) and arrays keep torch's layout, so a state
dict loads as it is. Activations are [b, h, w, c].
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, Shaped

from stylegan2_flax import ops
from stylegan2_flax.checks import (
    check_choice,
    check_positive,
    check_sizes,
    checked_array,
    checked_dtype,
    checked_keywords,
)
from stylegan2_flax.layers import (
    FILTER,
    Conv2dLayer,
    FullyConnectedLayer,
    call_block,
    filter_buffer,
    half_precision_from,
)
from stylegan2_flax.mapping import MappingNetwork
from stylegan2_flax.resample import Number, separable_taps
from stylegan2_flax.synthesis import ARCHITECTURES, channels_of_resolutions


class DiscriminatorBlock(nnx.Module):
    """The layers of one resolution: fromrgb where the architecture has one, conv0, and conv1, which halves the size."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        img_channels: int,
        is_first: bool,
        architecture: str,
        conv_clamp: Number | None,
        *,
        activation: str = "lrelu",
        resample_filter: Sequence[Number] | None = FILTER,
        rngs: nnx.Rngs,
    ):
        self.architecture, self.has_fromrgb = architecture, is_first or architecture == "skip"
        self.resample_filter = filter_buffer(resample_filter)
        if self.has_fromrgb:
            self.fromrgb = Conv2dLayer(
                img_channels, channels, 1, activation=activation, conv_clamp=conv_clamp, rngs=rngs
            )
        self.conv0 = Conv2dLayer(channels, channels, 3, activation=activation, conv_clamp=conv_clamp, rngs=rngs)
        self.conv1 = Conv2dLayer(
            channels,
            out_channels,
            3,
            activation=activation,
            down=2,
            resample_filter=resample_filter,
            conv_clamp=conv_clamp,
            rngs=rngs,
        )
        if architecture == "resnet":
            self.skip = Conv2dLayer(
                channels, out_channels, 1, bias=False, down=2, resample_filter=resample_filter, rngs=rngs
            )

    def __call__(
        self,
        x: Float[Array, "b h w i"] | None,
        img: Float[Array, "b h w c"] | None,
        *,
        dtype: DTypeLike = jnp.float32,
    ) -> tuple[Float[Array, "b h2 w2 o"], Float[Array, "b h2 w2 c"] | None]:
        """Apply the block.

        Args:
            x: activations of the previous block; None for the first block.
            img: the image at this resolution; None if no layer needs it.
            dtype: dtype of the activations.

        Returns:
            Activations and image at half the resolution; the image is None if no later layer needs it.
        """
        x = None if x is None else x.astype(dtype)
        if self.has_fromrgb:
            assert img is not None
            y = self.fromrgb(img.astype(dtype))
            x = y if x is None else x + y
            img = (
                ops.downsample2d(img, separable_taps(self.resample_filter[...]))
                if self.architecture == "skip"
                else None
            )
        assert x is not None
        if self.architecture != "resnet":
            return self.conv1(self.conv0(x)), img
        gain = math.sqrt(0.5)
        return self.skip(x, gain) + self.conv1(self.conv0(x), gain), img


class DiscriminatorEpilogue(nnx.Module):
    """The last layers, at 4×4: minibatch standard deviation, conv, fc, out. Always float32.

    Args:
        channels: number of channels.
        cmap_dim: size of the embedded labels; 0 for an unconditional network.
        img_channels: number of image channels.
        has_fromrgb: whether the image is an input.
        conv_clamp: bound of the activations; None for none.
        mbstd_group_size: group size of `ops.minibatch_stddev`; None for the whole batch.
        mbstd_num_channels: channels that it adds; 0 for none.
        activation: see `ops.bias_act`.
        rngs: random keys for the initialization.
    """

    def __init__(
        self,
        channels: int,
        cmap_dim: int,
        img_channels: int,
        has_fromrgb: bool,
        conv_clamp: Number | None,
        *,
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
        activation: str = "lrelu",
        rngs: nnx.Rngs,
    ):
        check_sizes(0, mbstd_num_channels=mbstd_num_channels)
        check_sizes(mbstd_group_size=1 if mbstd_group_size is None else mbstd_group_size)
        if mbstd_num_channels and channels % mbstd_num_channels:
            raise ValueError(f"mbstd_num_channels {mbstd_num_channels} does not divide the {channels} channels at 4 px")
        self.mbstd_group_size, self.mbstd_num_channels = mbstd_group_size, mbstd_num_channels
        self.cmap_dim = cmap_dim
        self.has_fromrgb = has_fromrgb
        if has_fromrgb:
            self.fromrgb = Conv2dLayer(img_channels, channels, 1, activation=activation, rngs=rngs)
        self.conv = Conv2dLayer(
            channels + mbstd_num_channels, channels, 3, activation=activation, conv_clamp=conv_clamp, rngs=rngs
        )
        self.fc = FullyConnectedLayer(channels * 16, channels, activation=activation, rngs=rngs)
        self.out = FullyConnectedLayer(channels, cmap_dim or 1, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b 4 4 i"] | None,
        img: Float[Array, "b 4 4 c"] | None,
        cmap: Float[Array, "b m"] | None = None,
    ) -> Float[Array, "b 1"]:
        if self.has_fromrgb:
            assert img is not None
            y = self.fromrgb(img)
            x = y if x is None else x.astype(jnp.float32) + y
        assert x is not None
        x = self._with_deviation(x.astype(jnp.float32))
        x = self.conv(x)
        # The weights expect channels first.
        x = self.fc(x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1))
        x = self.out(x)
        return x if cmap is None else jnp.sum(x * cmap, axis=1, keepdims=True) / math.sqrt(self.cmap_dim)

    def _with_deviation(self, x: Array) -> Array:
        if self.mbstd_num_channels == 0:
            return x
        deviation = ops.minibatch_stddev(x, self.mbstd_group_size, self.mbstd_num_channels)
        tiled = jnp.broadcast_to(deviation[:, None, None, :], (*x.shape[:3], self.mbstd_num_channels))
        return jnp.concatenate([x, tiled], axis=-1)


class Discriminator(nnx.Module):
    """Maps images, and labels if the network is conditional, to logits. The arguments are named as in StyleGAN2-ADA.

    Args:
        c_dim: number of classes of one-hot labels; 0 for an unconditional network.
        img_resolution: height and width of the images in pixels, a power of two.
        img_channels: number of image channels.
        architecture: "skip", "resnet" or "orig".
        channel_base: channels times resolution.
        channel_max: upper bound of the channels of a layer.
        num_fp16_res: number of highest resolutions that compute in half precision if a call selects it; 0 for four.
        conv_clamp: bound of the activations; None for none.
        cmap_dim: size of the embedded labels; None for the number of channels at 4 px.
        block_kwargs: keyword arguments `activation` and `resample_filter` of the blocks.
        mapping_kwargs: keyword arguments of the `MappingNetwork` that embeds labels, except w_avg_beta.
        epilogue_kwargs: keyword arguments of `DiscriminatorEpilogue`.
        rngs: random keys for the initialization.

    Raises:
        ValueError: an argument is unknown or invalid.
    """

    kind = "discriminator"

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int = 1024,
        img_channels: int = 3,
        architecture: str = "resnet",
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: Number | None = None,
        cmap_dim: int | None = None,
        block_kwargs: dict[str, Any] | None = None,
        mapping_kwargs: dict[str, Any] | None = None,
        epilogue_kwargs: dict[str, Any] | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        check_choice("architecture", architecture, ARCHITECTURES)
        check_sizes(img_channels=img_channels)
        check_sizes(0, c_dim=c_dim, num_fp16_res=num_fp16_res)
        check_positive(conv_clamp=conv_clamp)
        kwargs = {
            "block_kwargs": checked_keywords(DiscriminatorBlock, "block_kwargs", block_kwargs),
            "mapping_kwargs": checked_keywords(MappingNetwork, "mapping_kwargs", mapping_kwargs, ("w_avg_beta",)),
            "epilogue_kwargs": checked_keywords(DiscriminatorEpilogue, "epilogue_kwargs", epilogue_kwargs),
        }
        for name in ("block_kwargs", "epilogue_kwargs"):
            ops.activation_gain(kwargs[name].get("activation", "lrelu"))
        channels = channels_of_resolutions(img_resolution, channel_base, channel_max)
        self._init_kwargs_json = json.dumps(  # as JSON, since static attributes of a module must be hashable
            {
                "c_dim": c_dim,
                "img_resolution": img_resolution,
                "img_channels": img_channels,
                "architecture": architecture,
                "channel_base": channel_base,
                "channel_max": channel_max,
                "num_fp16_res": num_fp16_res,
                "conv_clamp": conv_clamp,
                "cmap_dim": cmap_dim,
                **kwargs,
            }
        )
        self.c_dim = c_dim
        self.img_resolution = img_resolution
        self.img_channels = img_channels
        self.resolutions = tuple(reversed(channels))
        self._half_from = half_precision_from(img_resolution, num_fp16_res)
        for resolution in self.resolutions[:-1]:
            block = DiscriminatorBlock(
                channels[resolution],
                channels[resolution // 2],
                img_channels,
                resolution == img_resolution,
                architecture,
                conv_clamp,
                **kwargs["block_kwargs"],
                rngs=rngs,
            )
            setattr(self, f"b{resolution}", block)
        cmap_dim = channels[4] if cmap_dim is None else cmap_dim
        if c_dim > 0:
            self.mapping = MappingNetwork(
                0, c_dim, cmap_dim, None, w_avg_beta=None, **kwargs["mapping_kwargs"], rngs=rngs
            )
        self.b4 = DiscriminatorEpilogue(
            channels[4],
            cmap_dim if c_dim > 0 else 0,
            img_channels,
            architecture == "skip" or img_resolution == 4,
            conv_clamp,
            **kwargs["epilogue_kwargs"],
            rngs=rngs,
        )

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The arguments of the constructor, as plain data."""
        return json.loads(self._init_kwargs_json)

    def __call__(
        self,
        images: Shaped[Array | np.ndarray, "*_b _h _w _channels"],
        c: Float[Array | np.ndarray, "*_b _c"] | None = None,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
    ) -> Float[Array, "b 1"]:
        """Map images [b, h, w, c] in about [-1, 1] to logits [b, 1], which are larger for more realistic images.

        Args:
            images: b must be a multiple of mbstd_group_size, or less than it.
            c: one-hot labels [b, c_dim]; None if the network is unconditional.
            dtype: dtype of the num_fp16_res highest resolutions; the last layers are always float32.
            remat: whether gradients recompute the activations of every block, to save memory.

        Raises:
            ValueError: an input is missing or has a wrong shape or dtype.
        """
        if jnp.issubdtype(images.dtype, jnp.integer):
            raise ValueError(f"images must be floating point numbers in about [-1, 1], got {images.dtype}")
        img = checked_array(images, "images", ("b", self.img_resolution, self.img_resolution, self.img_channels))
        dtype = checked_dtype(dtype)
        x = None
        for resolution in self.resolutions[:-1]:
            at = dtype if resolution >= self._half_from else jnp.float32
            x, img = call_block(getattr(self, f"b{resolution}"), remat, x, img, dtype=at)
        return self.b4(x, img, self._embedded(c, images.shape[0]))

    def _embedded(self, c: Array | np.ndarray | None, batch: int) -> Array | None:
        if self.c_dim == 0:
            if c is not None:
                checked_array(c, "c", (batch, 0))
            return None
        if c is None:
            raise ValueError(f"this network is conditional: give labels c [b, {self.c_dim}]")
        return self.mapping(None, checked_array(c, "c", (batch, self.c_dim)))
