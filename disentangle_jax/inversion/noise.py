"""The noise maps of a generator, as an inversion moves them; after the projector of Karras et al. 2020."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import unflatten_dict
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from stylegan2_flax.layers import SynthesisLayer

Maps = dict[str, Float[Array, "_n _h _w"]]
"""Noise maps by the name of their layer, such as "b8.conv0"; one for all images, or one for each."""

_SMALLEST = 8  # pixels: maps are compared with themselves down to this size


def noise_maps(synthesis: sg2.SynthesisNetwork, n: int) -> Maps:
    """n copies of the constant noise maps that the network adds. Maps that it multiplies by 0 are left out."""
    layers = {name: layer for name, _, layer in synthesis.styled_layers() if isinstance(layer, SynthesisLayer)}
    return {
        name: jnp.broadcast_to(layer.noise_const[...], (n, *layer.noise_const.shape))
        for name, layer in layers.items()
        if layer.use_noise and float(layer.noise_strength[...]) != 0.0
    }


def with_noise(synthesis: sg2.SynthesisNetwork, maps: Mapping[str, Float[Array, "_n _h _w"]]) -> sg2.SynthesisNetwork:
    """A copy of the network with these constant noise maps."""
    copy = nnx.clone(synthesis)
    nnx.update(copy, unflatten_dict({f"{name}.noise_const": noise for name, noise in maps.items()}, sep="."))
    return copy


def normalise(maps: Maps) -> Maps:
    """The maps with mean 0 and variance 1."""
    return {name: (x - _mean(x)) / jnp.sqrt(_mean(jnp.square(x - _mean(x))) + 1e-8) for name, x in maps.items()}


def self_similarity(maps: Maps) -> Float[Array, ""]:
    """How far the maps are from white noise: squared correlations of neighbouring pixels, over all maps and halvings.

    For each map and its halvings down to 8 pixels, mean(x * shift of x along the rows)^2 + the same along the columns.
    Without it, an inversion paints the picture into the noise.
    """
    total = jnp.zeros(())
    for x in maps.values():
        while True:
            for axis in (1, 2):
                total += jnp.sum(jnp.square(jnp.mean(x * jnp.roll(x, 1, axis), axis=(1, 2))))
            if x.shape[1] <= _SMALLEST:
                break
            n, h, w = x.shape
            x = jnp.mean(x.reshape(n, h // 2, 2, w // 2, 2), axis=(2, 4))
    return total


def _mean(x: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    return jnp.broadcast_to(jnp.mean(x, axis=(1, 2), keepdims=True), x.shape)
