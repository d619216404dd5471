"""The autoencoder: an encoder from latents to an appearance and a structure code, and a decoder back to latents.

Axes: l latent layers, d latent width, a appearance dim, s structure dim, c width of a trunk, i and o inputs and outputs
of a layer.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from stylegan2_flax.layers import Buffer

INPUT_SPACES = ("w+", "w")


class Codes(NamedTuple):
    """The two codes of a latent: appearance (identity, colours) and structure (pose, expression)."""

    appearance: Float[Array, "*n a"]
    structure: Float[Array, "*n s"]


class Dense(nnx.Linear):
    """A dense layer that computes in `dtype`. Parameters, inputs and outputs keep their own dtypes."""

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]: it takes no sharding
        self, x: Float[Array, "*n i"]
    ) -> Float[Array, "*n o"]:
        return super().__call__(x).astype(x.dtype)


class LayerDense(nnx.Module):
    """A separate dense layer for each latent layer: [..., l, i] -> [..., l, o]."""

    def __init__(self, layers: int, inputs: int, outputs: int, *, rngs: nnx.Rngs, kernel_init: nnx.Initializer):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (layers, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((layers, outputs)))

    def __call__(self, x: Float[Array, "*n l i"]) -> Float[Array, "*n l o"]:
        y = jnp.einsum("...li,lio->...lo", x, self.kernel[...])
        return y + jnp.broadcast_to(self.bias[...], y.shape)


class Sizes(NamedTuple):
    """Sizes of an autoencoder; see `Autoencoder`."""

    layers: int
    w_dim: int
    appearance_dim: int
    structure_dim: int
    embed_dim: int
    width: int
    num_blocks: int
    dtype: str


class Block(nnx.Module):
    """A residual block: x + dense(gelu(dense(norm(x))))."""

    def __init__(self, width: int, *, dtype: str, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.up = Dense(width, width, dtype=dtype, rngs=rngs)
        self.down = Dense(width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        return x + self.down(nnx.gelu(self.up(self.norm(x))))


class Trunk(nnx.Module):
    """A dense layer to the width of the trunk, residual blocks, and a final layer norm."""

    def __init__(self, inputs: int, sizes: Sizes, *, rngs: nnx.Rngs):
        self.dense = Dense(inputs, sizes.width, dtype=sizes.dtype, rngs=rngs)
        self.blocks = nnx.List([Block(sizes.width, dtype=sizes.dtype, rngs=rngs) for _ in range(sizes.num_blocks)])
        self.norm = nnx.LayerNorm(sizes.width, rngs=rngs)

    def __call__(self, x: Float[Array, "*n i"]) -> Float[Array, "*n c"]:
        x = self.dense(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Encoder(nnx.Module):
    """Standardized latents -> both codes: an embedding of each latent layer, a trunk, and two linear heads.

    The heads also take the latents themselves as inputs, since many factors are nearly linear in W+.
    """

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        self.embed = LayerDense(sizes.layers, sizes.w_dim, sizes.embed_dim, rngs=rngs, kernel_init=_PER_LAYER)
        self.trunk = Trunk(sizes.layers * sizes.embed_dim, sizes, rngs=rngs)
        inputs = sizes.width + sizes.layers * sizes.w_dim
        self.appearance = nnx.Linear(inputs, sizes.appearance_dim, rngs=rngs)
        self.structure = nnx.Linear(inputs, sizes.structure_dim, rngs=rngs)

    def __call__(self, x: Float[Array, "*n l d"]) -> Codes:
        embedded = _flatten(nnx.gelu(self.embed(x)))
        features = jnp.concatenate([self.trunk(embedded), _flatten(x)], axis=-1)
        return Codes(self.appearance(features), self.structure(features))


class Decoder(nnx.Module):
    """Both codes -> standardized latents: the sum of a trunk and of a linear map.

    The last kernels are initialized with zeros, so an untrained decoder returns the mean latent.
    """

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        self.layers = sizes.layers
        codes, outputs = sizes.appearance_dim + sizes.structure_dim, sizes.layers * sizes.w_dim
        self.linear = nnx.Linear(codes, outputs, use_bias=False, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.trunk = Trunk(sizes.appearance_dim + sizes.structure_dim, sizes, rngs=rngs)
        self.spread = nnx.Linear(sizes.width, sizes.layers * sizes.embed_dim, rngs=rngs)
        self.unembed = LayerDense(
            sizes.layers, sizes.embed_dim, sizes.w_dim, rngs=rngs, kernel_init=nnx.initializers.zeros
        )

    def __call__(self, codes: Codes) -> Float[Array, "*n l d"]:
        concatenated = jnp.concatenate(codes, axis=-1)
        x = self.spread(self.trunk(concatenated))
        nonlinear = self.unembed(nnx.gelu(x).reshape(*x.shape[:-1], self.layers, x.shape[-1] // self.layers))
        return nonlinear + self.linear(concatenated).reshape(nonlinear.shape)


class Autoencoder(nnx.Module):
    """Encodes latents of W+ into an appearance and a structure code, and decodes any pair of codes into latents.

    It works on standardized latents, (ws - mean) / std, in which all layers and channels have the same weight. The
    statistics are buffers of the module, so that it can be used without the generator.

    Args:
        mean, std: mean and standard deviation of the generator's latents.
        appearance_dim: size of the appearance code.
        structure_dim: size of the structure code. A small one leaves no room for appearance.
        embed_dim: size of the embedding of each latent layer.
        width: width of the trunks of encoder and decoder.
        num_blocks: residual blocks in each trunk.
        dtype: dtype in which the trunks compute; everything else is float32.
        input_space: what the encoder reads: the layers ("w+"), or their mean ("w").
        learn_temperature: whether to train the temperatures of both contrasts. The parameter `log_temperature` [2] is
            the logarithm of a factor on the config's temperatures of appearance and structure.
        rngs: random keys for the initialization.
    """

    def __init__(
        self,
        mean: Float[Array, "l d"],
        std: Float[Array, "l d"],
        *,
        appearance_dim: int,
        structure_dim: int,
        embed_dim: int,
        width: int,
        num_blocks: int,
        dtype: str = "float32",
        input_space: str = "w+",
        learn_temperature: bool = False,
        rngs: nnx.Rngs,
    ):
        layers, w_dim = mean.shape
        sizes = Sizes(layers, w_dim, appearance_dim, structure_dim, embed_dim, width, num_blocks, dtype)
        self.mean = Buffer(mean)
        self.std = Buffer(std)
        self.encoder = Encoder(sizes, rngs=rngs)
        self.decoder = Decoder(sizes, rngs=rngs)
        self.input_space = input_space
        self.log_temperature = nnx.Param(jnp.zeros((2,))) if learn_temperature else None

    def encode(self, ws: Float[Array, "*n l d"]) -> Codes:
        """Encode latents [..., l, d] into codes [..., a] and [..., s]."""
        if self.input_space == "w":
            ws = jnp.broadcast_to(jnp.mean(ws, axis=-2, keepdims=True), ws.shape)
        mean, std = (jnp.broadcast_to(x[...], ws.shape) for x in (self.mean, self.std))
        return self.encoder((ws - mean) / std)

    def decode(self, appearance: Float[Array, "*n a"], structure: Float[Array, "*n s"]) -> Float[Array, "*n l d"]:
        """Decode codes [..., a] and [..., s], with the same leading shape, into latents [..., l, d]."""
        x = self.decoder(Codes(appearance, structure))
        mean, std = (jnp.broadcast_to(b[...], x.shape) for b in (self.mean, self.std))
        return mean + std * x


def _flatten(x: Float[Array, "*n l i"]) -> Float[Array, "*n li"]:
    return x.reshape(*x.shape[:-2], math.prod(x.shape[-2:]))


# With the layer axis as a batch axis, the scale of a kernel depends only on the number of its inputs.
_PER_LAYER = nnx.initializers.lecun_normal(batch_axis=0)
