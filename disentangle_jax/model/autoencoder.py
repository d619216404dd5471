"""The autoencoder: latent codes in, appearance and structure out, and back.

Axes: l latent layers, d latent width, a appearance dim, s structure dim, c width of a trunk, i and o inputs and
outputs.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from stylegan2_flax.layers import Buffer


class Codes(NamedTuple):
    """What the encoder makes of a latent code: who it is, and what it does."""

    appearance: Float[Array, "*n a"]
    structure: Float[Array, "*n s"]


class Dense(nnx.Linear):
    """A dense layer whose product is taken in `dtype`: parameters, what comes in and what goes out keep their own."""

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]: it takes no sharding
        self, x: Float[Array, "*n i"]
    ) -> Float[Array, "*n o"]:
        return super().__call__(x).astype(x.dtype)


class LayerDense(nnx.Module):
    """A dense layer of its own for each latent layer: [..., l, i] -> [..., l, o]."""

    def __init__(self, layers: int, inputs: int, outputs: int, *, rngs: nnx.Rngs, kernel_init: nnx.Initializer):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (layers, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((layers, outputs)))

    def __call__(self, x: Float[Array, "*n l i"]) -> Float[Array, "*n l o"]:
        y = jnp.einsum("...li,lio->...lo", x, self.kernel[...])
        return y + jnp.broadcast_to(self.bias[...], y.shape)


class Sizes(NamedTuple):
    """Everything that shapes an autoencoder; see `Autoencoder`."""

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
    """A dense layer to the working width, residual blocks, a last normalisation."""

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
    """Standardised latents -> both codes: every layer embedded on its own, one trunk, two heads.

    Each head also has a linear view of the latents, since much of what moves in W+ moves along straight lines.
    """

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        self.embed = LayerDense(sizes.layers, sizes.w_dim, sizes.embed_dim, rngs=rngs, kernel_init=_PER_LAYER)
        self.trunk = Trunk(sizes.layers * sizes.embed_dim, sizes, rngs=rngs)
        inputs = sizes.width + sizes.layers * sizes.w_dim
        self.appearance = nnx.Linear(inputs, sizes.appearance_dim, rngs=rngs)
        self.structure = nnx.Linear(inputs, sizes.structure_dim, rngs=rngs)

    def __call__(self, x: Float[Array, "*n l d"]) -> Codes:
        embedded = _flat(nnx.gelu(self.embed(x)))
        seen = jnp.concatenate([self.trunk(embedded), _flat(x)], axis=-1)
        return Codes(self.appearance(seen), self.structure(seen))


class Decoder(nnx.Module):
    """Both codes -> standardised latents, by a trunk and by a linear path beside it.

    The last kernels start at zero, so an untrained decoder gives the mean.
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
        both = jnp.concatenate(codes, axis=-1)
        x = self.spread(self.trunk(both))
        curved = self.unembed(nnx.gelu(x).reshape(*x.shape[:-1], self.layers, x.shape[-1] // self.layers))
        return curved + self.linear(both).reshape(curved.shape)


class Autoencoder(nnx.Module):
    """Splits latents of W+ into an appearance and a structure code and rebuilds latents from any pair of the two.

    It works on standardised latents, (ws - mean) / std, so that every layer and channel weighs the same. The statistics
    are buffers of the module: whoever has its arrays can use it without the generator.

    Args:
        mean, std: mean and standard deviation of the generator's latents.
        appearance_dim, structure_dim: sizes of the two codes. A narrow structure code keeps appearance out of it.
        embed_dim: what each latent layer is embedded to before the layers meet.
        width, num_blocks: size of the trunk of the encoder, and of the decoder's.
        dtype: in which the trunks take their products; everything else is float32.
        learn_temperature: train the temperatures of both contrasts too, `log_temperature` [2] being the logarithms of
            what multiplies those of the config: the appearance's, the structure's.
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
        learn_temperature: bool = False,
        rngs: nnx.Rngs,
    ):
        layers, w_dim = mean.shape
        sizes = Sizes(layers, w_dim, appearance_dim, structure_dim, embed_dim, width, num_blocks, dtype)
        self.mean = Buffer(mean)
        self.std = Buffer(std)
        self.encoder = Encoder(sizes, rngs=rngs)
        self.decoder = Decoder(sizes, rngs=rngs)
        self.log_temperature = nnx.Param(jnp.zeros((2,))) if learn_temperature else None

    def encode(self, ws: Float[Array, "*n l d"]) -> Codes:
        """Split latents of any leading shape into their codes, [..., a] and [..., s]."""
        mean, std = (jnp.broadcast_to(x[...], ws.shape) for x in (self.mean, self.std))
        return self.encoder((ws - mean) / std)

    def decode(self, appearance: Float[Array, "*n a"], structure: Float[Array, "*n s"]) -> Float[Array, "*n l d"]:
        """Rebuild latents from codes of one leading shape: mean + std * what the decoder adds."""
        x = self.decoder(Codes(appearance, structure))
        mean, std = (jnp.broadcast_to(b[...], x.shape) for b in (self.mean, self.std))
        return mean + std * x


def _flat(x: Float[Array, "*n l i"]) -> Float[Array, "*n li"]:
    return x.reshape(*x.shape[:-2], math.prod(x.shape[-2:]))


# The layer axis counts as a batch, so that a kernel's scale depends on its own layer's inputs alone.
_PER_LAYER = nnx.initializers.lecun_normal(batch_axis=0)
