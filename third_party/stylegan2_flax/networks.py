"""The generator of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) as Flax NNX modules.

Attribute paths are the names in published checkpoints (`synthesis.b8.conv0.affine.weight`) and arrays keep torch's
layout, so a state dict loads as it is. Activations are [b, h, w, c].
"""

import json
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
from stylegan2_flax.layers import Buffer, FullyConnectedLayer, SkipLayer, SynthesisLayer, ToRGBLayer
from stylegan2_flax.resample import Number

NOISE_MODES = ("const", "none", "random")
ARCHITECTURES = ("orig", "skip", "resnet")


class MappingNetwork(nnx.Module):
    """z, and a label c of a conditional generator -> w, repeated for every layer."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int,
        *,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        lr_multiplier: Number = 0.01,
        rngs: nnx.Rngs,
    ):
        if num_layers < 1:
            raise ValueError(f"the mapping network needs num_layers of at least 1, got {num_layers}")
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, c_dim, w_dim, num_ws, num_layers
        embed_features = w_dim if embed_features is None else embed_features
        hidden = w_dim if layer_features is None else layer_features
        if c_dim > 0:
            self.embed = FullyConnectedLayer(c_dim, embed_features, rngs=rngs)
        widths = [z_dim + (embed_features if c_dim > 0 else 0), *[hidden] * (num_layers - 1), w_dim]
        for i in range(num_layers):
            layer = FullyConnectedLayer(
                widths[i], widths[i + 1], activation=activation, lr_multiplier=lr_multiplier, rngs=rngs
            )
            setattr(self, f"fc{i}", layer)
        self.w_avg = Buffer(jnp.zeros((w_dim,)))

    def __call__(
        self,
        z: Float[Array | np.ndarray, "..."],
        c: Float[Array | np.ndarray, "..."] | None = None,
        truncation_psi: Number | Float[Array, ""] = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Array, "b l d"]:
        """z [b, z_dim], c [b, c_dim] -> ws [b, num_ws, w_dim].

        truncation_psi pulls the first truncation_cutoff layers (None: all) towards the mean latent w_avg: 1 leaves them
        as they are, 0 gives the mean.
        """
        x = ops.normalize_2nd_moment(_checked(z, "z", ("b", self.z_dim)))
        if self.c_dim > 0:
            if c is None:
                raise ValueError(f"this generator is conditional: give labels c [b, {self.c_dim}]")
            embedded = self.embed(_checked(c, "c", (x.shape[0], self.c_dim)))
            x = jnp.concatenate([x, ops.normalize_2nd_moment(embedded)], axis=1)
        elif c is not None:
            _checked(c, "c", (x.shape[0], 0))
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        ws = jnp.broadcast_to(x[:, None, :], (x.shape[0], self.num_ws, self.w_dim))
        if not isinstance(truncation_psi, Array):
            truncation_psi = float(truncation_psi)
            if truncation_psi == 1:
                return ws
        w_avg = self.w_avg[...][None, None, :]
        truncated = w_avg + truncation_psi * (ws - w_avg)
        if truncation_cutoff is None:
            return truncated
        return jnp.concatenate([truncated[:, :truncation_cutoff], ws[:, truncation_cutoff:]], axis=1)


class SynthesisBlock(nnx.Module):
    """The layers of one resolution: conv0 (not at 4×4), conv1, and torgb where the architecture has one."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        is_last: bool,
        *,
        architecture: str = "skip",
        resample_filter: Sequence[Number] | None = (1, 3, 3, 1),
        conv_clamp: Number | None = None,
        kernel_size: int = 3,
        use_noise: bool = True,
        activation: str = "lrelu",
        rngs: nnx.Rngs,
    ):
        self.architecture, self.has_torgb = architecture, is_last or architecture == "skip"
        self.num_conv = 1 if resolution == 4 else 2
        self.resample_filter = Buffer(ops.setup_filter(resample_filter))

        def layer(channels: int, up: int) -> SynthesisLayer:
            return SynthesisLayer(
                channels,
                out_channels,
                w_dim,
                resolution,
                kernel_size=kernel_size,
                up=up,
                use_noise=use_noise,
                activation=activation,
                resample_filter=resample_filter,
                conv_clamp=conv_clamp,
                rngs=rngs,
            )

        if resolution == 4:
            self.const = nnx.Param(jax.random.normal(rngs.params(), (out_channels, 4, 4)))
        else:
            self.conv0 = layer(in_channels, up=2)
        self.conv1 = layer(out_channels, up=1)
        if self.has_torgb:
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, conv_clamp=conv_clamp, rngs=rngs)
        if resolution > 4 and architecture == "resnet":
            self.skip = SkipLayer(in_channels, out_channels, resample_filter=resample_filter, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b h w i"] | None,
        img: Float[Array, "b h w c"] | None,
        ws: Float[Array, "b n d"],
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, "b h2 w2 o"], Float[Array, "b h2 w2 c"] | None]:
        """ws holds the latents of this block's convolutions, then torgb's, which is also the next block's first."""
        keys = [None, None] if key is None else [jax.random.fold_in(key, i) for i in range(2)]
        if x is None:  # the first block starts from its constant
            const = jnp.transpose(self.const[...], (1, 2, 0))[None]
            x = jnp.broadcast_to(const, (ws.shape[0], *const.shape[1:]))
            x = self.conv1(x, ws[:, 0], noise_mode, keys[1])
        elif self.architecture == "resnet":
            gain = math.sqrt(0.5)
            residual = self.skip(x, gain)
            x = self.conv0(x, ws[:, 0], noise_mode, keys[0])
            x = residual + self.conv1(x, ws[:, 1], noise_mode, keys[1], gain)
        else:
            x = self.conv0(x, ws[:, 0], noise_mode, keys[0])
            x = self.conv1(x, ws[:, 1], noise_mode, keys[1])
        if img is not None:
            img = ops.upsample2d(img, self.resample_filter[...])
        if self.has_torgb:
            rgb = self.torgb(x, ws[:, self.num_conv])
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(nnx.Module):
    """ws -> images: blocks b4, b8, ... up to the resolution."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        *,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        resample_filter: Sequence[Number] | None = (1, 3, 3, 1),
        conv_clamp: Number | None = None,
        kernel_size: int = 3,
        use_noise: bool = True,
        activation: str = "lrelu",
        rngs: nnx.Rngs,
    ):
        if img_resolution < 4 or img_resolution & (img_resolution - 1):
            raise ValueError(f"img_resolution must be a power of two from 4 on, got {img_resolution}")
        if architecture not in ARCHITECTURES:
            raise ValueError(f"unknown architecture {architecture!r}: choose one of {', '.join(ARCHITECTURES)}")
        ops.activation_gain(activation)
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.resolutions = tuple(2**i for i in range(2, img_resolution.bit_length()))
        self.num_ws = 2 * len(self.resolutions)
        in_channels = 0
        for resolution in self.resolutions:
            out_channels = min(channel_base // resolution, channel_max)
            block = SynthesisBlock(
                in_channels,
                out_channels,
                w_dim,
                resolution,
                img_channels,
                is_last=resolution == img_resolution,
                architecture=architecture,
                resample_filter=resample_filter,
                conv_clamp=conv_clamp,
                kernel_size=kernel_size,
                use_noise=use_noise,
                activation=activation,
                rngs=rngs,
            )
            setattr(self, f"b{resolution}", block)
            in_channels = out_channels

    def __call__(
        self,
        ws: Float[Array | np.ndarray, "..."],
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b h w c"]:
        """ws [b, num_ws, w_dim] -> images [b, h, w, c], float32, about [-1, 1].

        noise_mode: "const" adds the stored noise images, "none" nothing, "random" fresh noise in every layer, from key.
        """
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"unknown noise_mode {noise_mode!r}: choose one of {', '.join(NOISE_MODES)}")
        if noise_mode == "random" and key is None:
            raise ValueError('noise_mode="random" needs a key: pass key=jax.random.key(...)')
        ws = _checked(ws, "ws", ("b", self.num_ws, self.w_dim))
        x = img = None
        row = 0
        for resolution in self.resolutions:
            block = getattr(self, f"b{resolution}")
            block_key = None if key is None else jax.random.fold_in(key, resolution)
            x, img = block(x, img, ws[:, row : row + block.num_conv + 1], noise_mode, block_key)
            row += block.num_conv
        assert img is not None  # the last block has a torgb in every architecture
        return img


class Generator(nnx.Module):
    """Mapping and synthesis; the arguments are those of the ADA constructors, under the same names."""

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 1024,
        img_channels: int = 3,
        mapping_kwargs: dict[str, Any] | None = None,
        synthesis_kwargs: dict[str, Any] | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        # As text: a module's static attributes must be hashable.
        self._kwargs_json = json.dumps(
            {"mapping_kwargs": dict(mapping_kwargs or {}), "synthesis_kwargs": dict(synthesis_kwargs or {})}
        )
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **(synthesis_kwargs or {}), rngs=rngs)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **(mapping_kwargs or {}), rngs=rngs)

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The arguments that build this generator anew; plain data."""
        return {
            "z_dim": self.z_dim,
            "c_dim": self.c_dim,
            "w_dim": self.w_dim,
            "img_resolution": self.img_resolution,
            "img_channels": self.img_channels,
            **json.loads(self._kwargs_json),
        }

    def __call__(
        self,
        z: Float[Array | np.ndarray, "..."],
        c: Float[Array | np.ndarray, "..."] | None = None,
        truncation_psi: Number | Float[Array, ""] = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b h w c"]:
        """z [b, z_dim], c [b, c_dim] -> images [b, h, w, c]: `mapping`, then `synthesis`."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(ws, noise_mode, key)


def _checked(value: Array | np.ndarray, name: str, shape: tuple[int | str, ...]) -> Array:
    """The value as a float32 array of this shape, where a word stands for any size; ValueError otherwise."""
    value = jnp.asarray(value, jnp.float32)
    matches = value.ndim == len(shape) and all(
        isinstance(want, str) or got == want for got, want in zip(value.shape, shape, strict=True)
    )
    if not matches:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} must be [{wanted}], got [{', '.join(map(str, value.shape))}]")
    return value
