"""The network of a feed-forward encoder: images to latents of W+, in one pass, for any generator."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, Shaped

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.generators import digest
from disentangle_jax.inversion import pictures
from disentangle_jax.weights import named_arrays, with_arrays

KIND = "encoder"
"""The metadata entry of its files."""


class ResidualUnit(nnx.Module):
    """x + conv(silu(conv(silu(x)))), at first x itself."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.first = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.second = nnx.Conv(width, width, (3, 3), kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w i"]:
        return x + self.second(nnx.silu(self.first(nnx.silu(x))))


class EncoderNetwork(nnx.Module):
    """Strided convolutions, each followed by residual units; a hidden layer; and a code for each layer of W+.

    A code is a latent in whitened coordinates: ws = mean + code @ axes. An untrained network gives the mean.

    Args:
        num_ws, w_dim: l and d of the latents.
        image_channels: of the images.
        size: height and width that the network reads. Images of other sizes are averaged over areas.
        widths: channels after each strided convolution.
        num_units: number of residual units after each.
        hidden: units of the hidden layer.
        generator: digest of the generator that the latents are for.
        mean: mean of w.
        axes: maps whitened coordinates to changes of w.
        rngs: random keys for the initialization.
    """

    def __init__(
        self,
        *,
        num_ws: int,
        w_dim: int,
        image_channels: int,
        size: int,
        widths: tuple[int, ...],
        num_units: tuple[int, ...],
        hidden: int,
        generator: str,
        mean: Float[Array, "d"],
        axes: Float[Array, "d d"],
        rngs: nnx.Rngs,
    ):
        self.num_ws, self.w_dim, self.image_channels, self.size = num_ws, w_dim, image_channels, size
        self.widths, self.num_units, self.hidden, self.generator = tuple(widths), tuple(num_units), hidden, generator
        channels = (image_channels, *widths)
        kernels = (5, *(3 for _ in widths[1:]))
        self.convs = nnx.List(
            nnx.Conv(i, o, (k, k), strides=2, rngs=rngs) for i, o, k in zip(channels[:-1], widths, kernels, strict=True)
        )
        self.units = nnx.List(
            nnx.List(ResidualUnit(width, rngs=rngs) for _ in range(number))
            for width, number in zip(widths, num_units, strict=True)
        )
        side = -(-size // 2 ** len(widths))
        self.dense = nnx.Linear(side * side * widths[-1], hidden, rngs=rngs)
        self.head = nnx.Linear(hidden, num_ws * w_dim, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.mean, self.axes = sg2.Buffer(mean), sg2.Buffer(axes)

    def __call__(self, images: Shaped[Array | np.ndarray, "..."]) -> Float[Array, "n l d"]:
        """Encode images [n, h, w, c] in [-1, 1], of any size, into ws.

        Raises:
            ValueError: the images are integers, or have another shape.
        """
        return _encode(self, pictures.checked(images, "images", ("n", "h", "w", self.image_channels)))

    def codes(self, images: Float[Array, "n h w c"]) -> Float[Array, "n l d"]:
        """The codes of images of the network's own size."""
        x = images
        for conv, units in zip(self.convs, self.units, strict=True):
            x = conv(x)
            for unit in units:
                x = unit(x)
            x = nnx.silu(x)
        return self.head(nnx.silu(self.dense(x.reshape(len(x), -1)))).reshape(len(x), self.num_ws, self.w_dim)

    def latents(self, codes: Float[Array, "n l d"]) -> Float[Array, "n l d"]:
        """mean + code @ axes."""
        return self.mean[...][None, None] + jnp.matmul(codes, self.axes[...], precision="highest")

    def resize(self, images: Float[Array, "n h w c"]) -> Float[Array, "n s s c"]:
        """Images of the network's own size."""
        size = (self.size, self.size)
        return images if images.shape[1:3] == size else pictures.area_average(images, size)

    def check_generator(self, generator: sg2.Generator) -> None:
        """Raises ValueError if the latents are for another generator."""
        if (theirs := digest(generator)) != self.generator:
            raise ValueError(
                f"this encoder was trained for another generator: that one's digest is {self.generator}, this one's "
                f"{theirs}. Train one for it: python -m disentangle_jax.train_encoder --config.generator=..."
            )

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of the constructor that are plain data."""
        names = ("num_ws", "w_dim", "image_channels", "size", "widths", "num_units", "hidden", "generator")
        return {name: getattr(self, name) for name in names}

    def save(self, path: Path) -> None:
        """Write the weights, in half precision, and the sizes of the layers."""
        arrays.save(path, named_arrays(self, np.float16), **{KIND: self.sizes})

    @classmethod
    def load(cls, path: str | Path) -> "EncoderNetwork":
        """Load a file that `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or holds something else.
        """
        stored, sizes = arrays.load(path, KIND)
        try:
            abstract = nnx.eval_shape(partial(create, sizes, seed=0))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} does not describe an encoder: {error}") from error
        return with_arrays(abstract, stored, path, described_by="its record of sizes")


def create(
    sizes: dict[str, Any],
    seed: int,
    mean: Float[Array, "d"] | None = None,
    axes: Float[Array, "d d"] | None = None,
) -> EncoderNetwork:
    """An untrained network of these `sizes`; without statistics, w counts as white already."""
    mean = jnp.zeros(sizes["w_dim"]) if mean is None else mean
    axes = jnp.eye(sizes["w_dim"]) if axes is None else axes
    plain = {**sizes, "widths": tuple(sizes["widths"]), "num_units": tuple(sizes["num_units"])}
    return EncoderNetwork(**plain, mean=mean, axes=axes, rngs=nnx.Rngs(seed))


@jax.jit
def _encode(encoder: EncoderNetwork, images: Float[Array, "n h w c"]) -> Float[Array, "n l d"]:
    return encoder.latents(encoder.codes(encoder.resize(images)))
