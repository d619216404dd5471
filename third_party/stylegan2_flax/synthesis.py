"""The synthesis network: latents -> images.

Attribute paths are the names in published checkpoints (`b8.conv0.affine.weight`) and arrays keep torch's layout, so a
state dict loads as it is. Activations are [b, h, w, c].
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, PRNGKeyArray

from stylegan2_flax import ops
from stylegan2_flax.checks import check_choice, check_positive, check_sizes, checked_array, checked_dtype
from stylegan2_flax.layers import (
    FILTER,
    Conv2dLayer,
    SynthesisLayer,
    ToRGBLayer,
    call_block,
    filter_buffer,
    half_precision_from,
)
from stylegan2_flax.resample import Number, separable_taps

NOISE_MODES = ("const", "none", "random")
ARCHITECTURES = ("orig", "skip", "resnet")


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
        resample_filter: Sequence[Number] | None = FILTER,
        conv_clamp: Number | None = None,
        kernel_size: int = 3,
        use_noise: bool = True,
        activation: str = "lrelu",
        rngs: nnx.Rngs,
    ):
        self.architecture = architecture
        self.resample_filter = filter_buffer(resample_filter)

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
                resample_filter=resample_filter if up > 1 else FILTER,
                conv_clamp=conv_clamp,
                rngs=rngs,
            )

        convolutions = ("conv1",) if resolution == 4 else ("conv0", "conv1")
        torgb = ()
        if resolution == 4:
            self.const = nnx.Param(jax.random.normal(rngs.params(), (out_channels, 4, 4)))
        else:
            self.conv0 = layer(in_channels, up=2)
        self.conv1 = layer(out_channels, up=1)
        if is_last or architecture == "skip":
            torgb = ("torgb",)
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, conv_clamp=conv_clamp, rngs=rngs)
        if resolution > 4 and architecture == "resnet":
            self.skip = Conv2dLayer(
                in_channels, out_channels, 1, bias=False, up=2, resample_filter=resample_filter, rngs=rngs
            )
        self.num_conv = len(convolutions)
        self.styled = convolutions + torgb

    def __call__(
        self,
        x: Float[Array, "b h w i"] | None,
        img: Float[Array, "b h w c"] | None,
        styles: Mapping[str, Float[Array, "b _"]],
        key: PRNGKeyArray | None = None,
        *,
        noise_mode: str = "const",
        dtype: DTypeLike = jnp.float32,
    ) -> tuple[Float[Array, "b h2 w2 o"], Float[Array, "b h2 w2 c"] | None]:
        """Apply the block.

        Args:
            x: activations of the previous block; None for the first block.
            img: image of the previous block; None if there is none.
            styles: styles of this block's layers by name.
            key: random key for noise_mode "random".
            noise_mode: see `SynthesisNetwork.__call__`.
            dtype: dtype of the activations; the image is always float32.
        """
        keys = [None, None] if key is None else [jax.random.fold_in(key, i) for i in range(2)]
        if x is None:  # the first block starts from its constant
            const = jnp.transpose(self.const[...].astype(dtype), (1, 2, 0))[None]
            x = jnp.broadcast_to(const, (styles["conv1"].shape[0], *const.shape[1:]))
            x = self.conv1(x, styles["conv1"], noise_mode, keys[1])
        else:
            x = x.astype(dtype)
            gain = math.sqrt(0.5) if self.architecture == "resnet" else 1.0
            residual = self.skip(x, gain) if self.architecture == "resnet" else None
            x = self.conv0(x, styles["conv0"], noise_mode, keys[0])
            x = self.conv1(x, styles["conv1"], noise_mode, keys[1], gain)
            x = x if residual is None else residual + x
        if img is not None:
            img = ops.upsample2d(img, separable_taps(self.resample_filter[...]))
        if "torgb" in self.styled:
            rgb = self.torgb(x, styles["torgb"])
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(nnx.Module):
    """Maps ws to images, with blocks b4, b8, ... up to the image resolution. Arguments are named as in StyleGAN2-ADA.

    Args:
        w_dim: size of w.
        img_resolution: height and width of the images in pixels, a power of two.
        img_channels: number of image channels.
        channel_base: channels times resolution.
        channel_max: upper bound of the channels of a layer.
        num_fp16_res: number of highest resolutions that compute in half precision if a call selects it; 0 for four.
        architecture: "skip", "resnet" or "orig".
        resample_filter: taps of the resampling filter; None for the identity.
        conv_clamp: bound of the activations; None for none.
        kernel_size: of the convolutions, odd.
        use_noise: whether layers add noise.
        activation: of the convolutions; see `ops.bias_act`.
        rngs: random keys for the initialization.

    Raises:
        ValueError: an argument is invalid.
    """

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        *,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        architecture: str = "skip",
        resample_filter: Sequence[Number] | None = FILTER,
        conv_clamp: Number | None = None,
        kernel_size: int = 3,
        use_noise: bool = True,
        activation: str = "lrelu",
        rngs: nnx.Rngs,
    ):
        check_choice("architecture", architecture, ARCHITECTURES)
        check_sizes(w_dim=w_dim, img_channels=img_channels, kernel_size=kernel_size)
        check_sizes(0, num_fp16_res=num_fp16_res)
        check_positive(conv_clamp=conv_clamp)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        ops.activation_gain(activation)
        self.w_dim = w_dim
        self.img_resolution = img_resolution
        self.img_channels = img_channels
        channels = channels_of_resolutions(img_resolution, channel_base, channel_max)
        self.resolutions = tuple(channels)
        self.num_ws = 2 * len(self.resolutions)
        self._half_from = half_precision_from(img_resolution, num_fp16_res)
        for resolution in self.resolutions:
            block = SynthesisBlock(
                channels.get(resolution // 2, 0),
                channels[resolution],
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

    def __call__(
        self,
        ws: Float[Array | np.ndarray, "*_b _l _d"],
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Map ws [b, num_ws, w_dim] to float32 images [b, h, w, c] in about [-1, 1].

        Args:
            ws: latents.
            noise_mode: "const" adds the constant noise images, "random" new noise in every layer, "none" no noise.
            key: random key for noise_mode "random".
            dtype: dtype of the num_fp16_res highest resolutions: float32, bfloat16 or float16. On the networks of the
                tests, errors stay below 2 % of the largest value in bfloat16, and 0.3 % in float16. Half precision is
                meant for networks with a conv_clamp; published ones have 256.
            remat: whether gradients recompute the activations of every block, to save memory.

        Raises:
            ValueError: ws have a wrong shape, or an argument is invalid.
        """
        return self.from_styles(self.styles(ws), noise_mode, key, dtype, remat)

    def styles(self, ws: Float[Array | np.ndarray, "*_b _l _d"]) -> dict[str, Float[Array, "b _"]]:
        """Map ws [b, num_ws, w_dim] to styles [b, channels] of each layer by name: "b4.conv1", "b4.torgb", "b8.conv0".

        Styles scale the input channels of a layer. They are the StyleSpace of Wu et al. 2021 (arXiv:2011.12799).
        """
        ws = checked_array(ws, "ws", ("b", self.num_ws, self.w_dim))
        return {name: layer.affine(ws[:, row]) for name, row, layer in self.styled_layers()}

    def from_styles(
        self,
        styles: Mapping[str, Float[Array | np.ndarray, "*_b _"]],
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Map styles, as `styles` returns them, to images. For the other arguments see `__call__`."""
        check_choice("noise_mode", noise_mode, NOISE_MODES)
        if noise_mode == "random" and key is None:
            raise ValueError('noise_mode="random" needs a key: pass key=jax.random.key(...)')
        styles, dtype = self._checked_styles(styles), checked_dtype(dtype)
        x = img = None
        for resolution in self.resolutions:
            block = getattr(self, f"b{resolution}")
            x, img = call_block(
                block,
                remat,
                x,
                img,
                {name: styles[f"b{resolution}.{name}"] for name in block.styled},
                None if key is None else jax.random.fold_in(key, resolution),
                noise_mode=noise_mode,
                dtype=dtype if resolution >= self._half_from else jnp.float32,
            )
        assert img is not None  # the last block has a torgb in every architecture
        return img

    def styled_layers(self) -> Iterator[tuple[str, int, SynthesisLayer | ToRGBLayer]]:
        """Yield (name, row of ws, layer) for each layer that takes styles, ordered by row.

        The torgb of a block uses the same row as the first convolution of the next block, which comes after it.
        """
        row = 0
        for resolution in self.resolutions:
            block = getattr(self, f"b{resolution}")
            for i, name in enumerate(block.styled):
                yield f"b{resolution}.{name}", row + i, getattr(block, name)
            row += block.num_conv

    def _checked_styles(self, styles: Mapping[str, Array | np.ndarray]) -> dict[str, Array]:
        sizes = {name: layer.affine.bias.shape[0] for name, _, layer in self.styled_layers()}
        missing, unknown = sizes.keys() - styles.keys(), styles.keys() - sizes.keys()
        if missing or unknown:
            raise ValueError(
                f"styles must be those that `styles` returns: missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        first = np.shape(styles["b4.conv1"])
        batch = first[0] if len(first) == 2 else "b"
        return {name: checked_array(styles[name], f"styles[{name!r}]", (batch, n)) for name, n in sizes.items()}


def channels_of_resolutions(img_resolution: int, channel_base: int, channel_max: int) -> dict[int, int]:
    """The number of channels at each resolution from 4 to img_resolution. Raises ValueError if one would be 0."""
    check_sizes(img_resolution=img_resolution, channel_base=channel_base, channel_max=channel_max)
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"img_resolution must be a power of two from 4 on, got {img_resolution}")
    if channel_base < img_resolution:
        raise ValueError(f"channel_base {channel_base} leaves no channels at {img_resolution} px: make it larger")
    return {2**i: min(channel_base // 2**i, channel_max) for i in range(2, int(img_resolution).bit_length())}
