"""The encoders' networks under their published names: images to one code for each layer of the generator, [n, l, 512].

pSp: Richardson et al. 2021, arXiv:2008.00951. e4e: Tov et al. 2021, arXiv:2102.02766. ReStyle: Alaluf et al. 2021,
arXiv:2104.02699. All take images of 256 px; the maps to styles end at 1×1 from there.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from disentangle_jax.inversion.pictures import upsample_add
from disentangle_jax.inversion.published.backbones import IR_UNITS, WIDTHS, IRBackbone, ResNetBackbone
from disentangle_jax.inversion.published.layers import Conv2d
from stylegan2_flax.layers import FullyConnectedLayer

W_DIM = 512
_COARSE, _MIDDLE = 3, 7
"""Of the pyramid: the styles below 3 read its map of 16 px, those below 7 that of 32 px, the others that of 64 px."""


class StyleMap(nnx.Module):
    """A map [n, size, size, 512] to one code: convolutions halve it down to one pixel, then a linear layer."""

    def __init__(self, size: int):
        steps = size.bit_length() - 1
        self.convs = nnx.Dict({f"{2 * i}": Conv2d(W_DIM, W_DIM, 3, 2, bias=True) for i in range(steps)})
        self.linear = _equalised_linear()

    def __call__(self, x: Float[Array, "n h w 512"]) -> Float[Array, "n 512"]:
        for i in range(len(self.convs)):
            x = jax.nn.leaky_relu(self.convs[f"{2 * i}"](x), 0.01)
        return self.linear(x[:, 0, 0])


class GradualStyleEncoder(IRBackbone):
    """pSp: a pyramid of three maps, from which each style is read by convolutions of its own."""

    def __init__(self, num_ws: int, in_channels: int = 3, mode: str = "ir_se", units: tuple[int, ...] = IR_UNITS[24]):
        super().__init__(in_channels, mode, units)
        sizes = [16 if i < _COARSE else 32 if i < _MIDDLE else 64 for i in range(num_ws)]
        self.styles = nnx.List([StyleMap(size) for size in sizes])
        self.latlayer1 = Conv2d(WIDTHS[2], W_DIM, 1, bias=True)
        self.latlayer2 = Conv2d(WIDTHS[1], W_DIM, 1, bias=True)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]:
        _, fine, middle, coarse = self.maps(x)
        middle = upsample_add(coarse, self.latlayer1(middle))
        fine = upsample_add(middle, self.latlayer2(fine))
        maps = [coarse if i < _COARSE else middle if i < _MIDDLE else fine for i in range(len(self.styles))]
        return jnp.stack([style(x) for style, x in zip(self.styles, maps, strict=True)], axis=1)


class Encoder4Editing(GradualStyleEncoder):
    """e4e: pSp's network, whose first style is the base that the others are offsets from."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]:
        return _with_base(super().__call__(x))


class SingleStyleCodeEncoder(IRBackbone):
    """e4e's and pSp's encoder into W: one code from the mean of the last map, the same for every layer."""

    def __init__(self, num_ws: int, in_channels: int = 3, mode: str = "ir_se", units: tuple[int, ...] = IR_UNITS[24]):
        super().__init__(in_channels, mode, units)
        self.num_ws = num_ws
        self.linear = _equalised_linear()

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]:
        w = self.linear(jnp.mean(self.maps(x)[-1], axis=(1, 2)))
        return jnp.broadcast_to(w[:, None], (len(w), self.num_ws, W_DIM))


class BackboneEncoder(IRBackbone):
    """ReStyle's simpler pSp: every style reads the last map."""

    def __init__(self, num_ws: int, in_channels: int = 6, mode: str = "ir_se", units: tuple[int, ...] = IR_UNITS[24]):
        super().__init__(in_channels, mode, units)
        self.styles = nnx.List([StyleMap(16) for _ in range(num_ws)])

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]:
        return _styles_of(self.styles, self.maps(x)[-1])


class ProgressiveBackboneEncoder(BackboneEncoder):
    """ReStyle's simpler e4e: the first style is the base that the others are offsets from."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]:
        return _with_base(super().__call__(x))


class ResNetBackboneEncoder(ResNetBackbone):
    """ReStyle's pSp on a ResNet-34, for domains other than faces."""

    def __init__(self, num_ws: int, in_channels: int = 6):
        super().__init__(in_channels)
        self.styles = nnx.List([StyleMap(16) for _ in range(num_ws)])

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]:
        return _styles_of(self.styles, self.maps(x)[-1])


class ResNetProgressiveBackboneEncoder(ResNetBackboneEncoder):
    """ReStyle's e4e on a ResNet-34."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]:
        return _with_base(super().__call__(x))


def _equalised_linear() -> FullyConnectedLayer:
    return FullyConnectedLayer(W_DIM, W_DIM, rngs=nnx.Rngs(0))


def _styles_of(styles: nnx.List, x: Array) -> Array:
    return jnp.stack([style(x) for style in styles], axis=1)


def _with_base(codes: Float[Array, "n l d"]) -> Float[Array, "n l d"]:
    return codes.at[:, 1:].add(codes[:, :1])
