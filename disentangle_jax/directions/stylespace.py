"""StyleSpace (Wu et al. 2021, arXiv:2011.12799): directions of W+ that change one channel of one layer's styles."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax.directions.directions import Directions, biorthogonal, checked_layers
from stylegan2_flax.layers import SynthesisLayer, ToRGBLayer


def stylespace(generator: sg2.Generator, ws: Float[Array, "n l d"], channels: Sequence[str]) -> Directions:
    """Directions that change one channel of a layer's styles each.

    Channel c is <A_c, w> + const, where A is the layer's style weights. The shortest move that changes it and no other
    channel of the layer is column c of A's pseudo-inverse. If A has more channels than w has entries, no move leaves
    all others unchanged, and this one changes them least in squares. Other layers that share this w change too.

    Args:
        generator: whose channels they are.
        ws: latents that the directions are calibrated to.
        channels: names of channels, such as "b8.conv0:12".

    Raises:
        ValueError: a channel does not exist or is named twice, or the directions are not linearly independent.
    """
    layers = {name: (row, layer) for name, row, layer in generator.synthesis.styled_layers()}
    inverses: dict[str, np.ndarray] = {}
    vectors = np.zeros((len(channels), *ws.shape[1:]))
    readings = np.zeros_like(vectors)
    for i, channel in enumerate(channels):
        name, c = _parse(channel, layers)
        row, weight = layers[name][0], np.asarray(layers[name][1].affine.weight[...], np.float64)
        if name not in inverses:
            inverses[name] = np.linalg.pinv(weight)
        vectors[i, row], readings[i, row] = inverses[name][:, c], weight[c]
    return biorthogonal(vectors, readings, ws, channels)


def channel_candidates(
    generator: sg2.Generator, ws: Float[Array, "n l d"], channels: Sequence[str], layers: tuple[int, int], n: int
) -> Directions:
    """The given channels, or the n strongest within a range of layers, each calibrated on its own.

    Many channels together are not linearly independent. Choose some of them and pass those to `stylespace`.
    """
    singles = [stylespace(generator, ws, [name]) for name in channels or strongest(generator, ws, layers, n)]
    vectors, normals = (jnp.concatenate([getattr(one, key) for one in singles]) for key in ("vectors", "normals"))
    return replace(singles[0], vectors=vectors, normals=normals, names=tuple(one.names[0] for one in singles))


def strongest(generator: sg2.Generator, ws: Float[Array, "n l d"], layers: tuple[int, int], n: int) -> list[str]:
    """The n channels whose variation changes their layer's output most, within a range of layers.

    A channel's share is the standard deviation of its style times the norm of the weights that it scales, relative to
    the root mean square over the layer's channels of style times norm.
    """
    first, last = checked_layers(layers, generator.num_ws)
    shares: dict[str, float] = {}
    for name, row, layer in generator.synthesis.styled_layers():
        if first <= row <= last:
            styles = np.asarray(layer.affine(ws[:, row]))
            norms = np.sqrt(np.square(np.asarray(layer.weight[...])).sum((0, 2, 3)))
            share = styles.std(0) * norms / np.sqrt(np.square(styles * norms).mean(0).sum())
            shares |= {f"{name}:{c}": float(value) for c, value in enumerate(share)}
    return sorted(shares, key=lambda name: -shares[name])[:n]


def _parse(channel: str, layers: Mapping[str, tuple[int, SynthesisLayer | ToRGBLayer]]) -> tuple[str, int]:
    name, _, number = channel.partition(":")
    if name not in layers:
        raise ValueError(f"no layer {name!r} (of channel {channel!r}): the generator has {', '.join(layers)}")
    count = layers[name][1].affine.weight.shape[0]
    if not number.isdecimal() or int(number) >= count:
        raise ValueError(f"no channel {channel!r}: say {name}:0 to {name}:{count - 1}")
    return name, int(number)
