"""The backbones: ArcFace's improved residual network (Deng et al. 2019, arXiv:1801.07698) and ResNet-34."""

import itertools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from disentangle_jax.inversion.published.layers import BatchNorm, Conv2d, PReLU
from stylegan2_flax.checks import check_choice

MODES = ("ir", "ir_se")
WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages, each of which halves the image."""

IR_UNITS = {24: (3, 4, 14, 3), 49: (3, 13, 30, 3), 50: (3, 8, 36, 3)}
"""From how many units there are in all, those of IR-50, IR-100 and IR-152, to each stage's number."""

_RESNET34 = (3, 4, 6, 3)
_REDUCTION = 16


class SqueezeExcitation(nnx.Module):
    """Scales channels by what the mean of all of them says (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int):
        self.fc1 = Conv2d(channels, channels // _REDUCTION, 1)
        self.fc2 = Conv2d(channels // _REDUCTION, channels, 1)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        mean = jnp.mean(x, axis=(1, 2), keepdims=True)
        return x * jax.nn.sigmoid(self.fc2(jax.nn.relu(self.fc1(mean))))


class IRUnit(nnx.Module):
    """Normalise, convolve, PReLU, convolve with the stride, normalise, perhaps squeeze and excite; plus a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int, mode: str):
        self.stride = stride
        if in_channels != channels:
            self.shortcut_layer = nnx.List([Conv2d(in_channels, channels, 1, stride), BatchNorm(channels)])
        else:
            self.shortcut_layer = nnx.List([])
        layers = [
            BatchNorm(in_channels),
            Conv2d(in_channels, channels, 3),
            PReLU(channels),
            Conv2d(channels, channels, 3, stride),
            BatchNorm(channels),
        ]
        if mode == "ir_se":
            layers.append(SqueezeExcitation(channels))
        self.res_layer = nnx.List(layers)

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        shortcut = _chain(self.shortcut_layer, x) if self.shortcut_layer else x[:, :: self.stride, :: self.stride]
        return _chain(self.res_layer, x) + shortcut


class BasicBlock(nnx.Module):
    """ResNet-34's block of two convolutions (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        self.conv1, self.bn1 = Conv2d(in_channels, channels, 3, stride), BatchNorm(channels)
        self.conv2, self.bn2 = Conv2d(channels, channels, 3), BatchNorm(channels)
        is_same = in_channels == channels and stride == 1
        shortcut = [] if is_same else [Conv2d(in_channels, channels, 1, stride), BatchNorm(channels)]
        self.downsample = nnx.List(shortcut)

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        y = self.bn2(self.conv2(jax.nn.relu(self.bn1(self.conv1(x)))))
        return jax.nn.relu(y + _chain(self.downsample, x))


class IRBackbone(nnx.Module):
    """IR-50, IR-100 or IR-152, with squeeze-and-excitation where mode is "ir_se"; 256 px become 16 px."""

    def __init__(self, in_channels: int, mode: str = "ir_se", units: tuple[int, ...] = IR_UNITS[24]):
        check_choice("mode", mode, MODES)
        self.in_channels, self.units = in_channels, units
        self.input_layer = nnx.List([Conv2d(in_channels, WIDTHS[0], 3), BatchNorm(WIDTHS[0]), PReLU(WIDTHS[0])])
        body, width = [], WIDTHS[0]
        for channels, count in zip(WIDTHS, units, strict=True):
            for i in range(count):
                body.append(IRUnit(width, channels, 2 if i == 0 else 1, mode))
                width = channels
        self.body = nnx.List(body)

    def maps(self, x: Float[Array, "n h w c"]) -> list[Float[Array, "n _ _ _"]]:
        """What each of the four stages ends with; the last has 512 channels."""
        x = _chain(self.input_layer, x)
        found, units = [], iter(self.body)
        for count in self.units:
            x = _chain(itertools.islice(units, count), x)
            found.append(x)
        return found


class ResNetBackbone(nnx.Module):
    """torchvision's ResNet-34 without its max pooling, so that 256 px become 16 px."""

    def __init__(self, in_channels: int):
        self.in_channels = in_channels
        self.conv1, self.bn1 = Conv2d(in_channels, WIDTHS[0], 7, 2), BatchNorm(WIDTHS[0])
        self.relu = PReLU(WIDTHS[0])
        body, width = [], WIDTHS[0]
        for stage, (channels, count) in enumerate(zip(WIDTHS, _RESNET34, strict=True)):
            for i in range(count):
                body.append(BasicBlock(width, channels, 2 if stage > 0 and i == 0 else 1))
                width = channels
        self.body = nnx.List(body)

    def maps(self, x: Float[Array, "n h w c"]) -> list[Float[Array, "n _ _ _"]]:
        """The last map, of 512 channels, alone."""
        return [_chain(self.body, self.relu(self.bn1(self.conv1(x))))]


def _chain(layers: Iterable[Callable[[Array], Array]], x: Array) -> Array:
    for layer in layers:
        x = layer(x)
    return x
