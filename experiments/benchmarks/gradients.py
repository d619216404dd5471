"""Differences between float32 and float64 gradients of a discriminator, and their cause.

    python experiments/benchmarks/gradients.py                                      a minute for each seed on two cores
    python experiments/benchmarks/gradients.py --resolution=64 --seeds=0            a few seconds

A unit whose input is zero within rounding may have the other slope of the leaky ReLU in float32: a flip. Each row
computes the gradient of the logit by the image in another way: as the package does; with two-dimensional filters
instead of separable ones; with the channels in another order, which changes only the order of every sum; and with the
slopes of float64. Columns: largest and root mean square error, relative to the largest value of the gradient; the
percentage of values with an error above 1e-4 of it; the number of flips. Results are in the README of the package.
"""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from stylegan2_flax import command, layers, ops
from stylegan2_flax.discriminator import Discriminator

FLAGS = flags.FlagValues()
RESOLUTION = flags.DEFINE_integer("resolution", 1024, "resolution of the discriminator", 8, flag_values=FLAGS)
CHANNELS = flags.DEFINE_integer("channels", 16, "channels at every resolution", 1, flag_values=FLAGS)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3"], "seeds of weights and image", flag_values=FLAGS)
flags.register_validator(
    "seeds", lambda seeds: all(map(str.isdecimal, seeds)), "must be numbers, such as 0,1", flag_values=FLAGS
)


def main() -> None:
    with jax.enable_x64(True):
        for seed in map(int, SEEDS.value):
            compare(RESOLUTION.value, CHANNELS.value, seed)


def compare(resolution: int, channels: int, seed: int) -> None:
    """Print the rows for a random discriminator and a random image."""
    random = np.random.default_rng(seed)
    image = random.uniform(-1, 1, (1, resolution, resolution, 3)).astype(np.float32)
    network = Discriminator(
        img_resolution=resolution, channel_base=channels * resolution, channel_max=channels, rngs=nnx.Rngs(seed)
    )
    graphdef, state = nnx.split(network)
    state = jax.tree.map(lambda array: array.astype(jnp.float32), state)
    order = random.permutation(channels)
    exact, slopes = gradient(graphdef, state, image, jnp.float64)
    reordered = [slope[..., order] if slope.ndim == 4 else slope for slope in slopes]
    print(f"{resolution} px, seed {seed}: {sum(slope.size for slope in slopes):,} units")
    for name, (value, chosen), expected in (
        ("float32", gradient(graphdef, state, image), slopes),
        ("two-dimensional filters", gradient(graphdef, state, image, separable=False), slopes),
        ("channels in another order", gradient(graphdef, in_order(graphdef, state, order), image), reordered),
        ("slopes of float64", gradient(graphdef, state, image, slopes=slopes), slopes),
    ):
        error = np.abs(value - exact) / np.abs(exact).max()
        flips = sum(int(np.sum(a != b)) for a, b in zip(chosen, expected, strict=True))
        share, rms = 100 * np.mean(error > 1e-4), np.sqrt(np.mean(np.square(error)))
        print(f"    {name:<28}{error.max():9.1e}{rms:9.1e}{share:9.3f} %{flips:5}", flush=True)


def gradient(
    graphdef: Any,
    state: Any,
    image: np.ndarray,
    dtype: DTypeLike = jnp.float32,
    separable: bool = True,
    slopes: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The gradient of the logit by the image, and for each leaky ReLU a mask of positive inputs.

    `slopes` replaces these masks in the computation.
    """

    def logit(image: Array, state: Any, slopes: Sequence[Array] | None) -> tuple[Array, list[Array]]:
        signs: list[Array] = []

        def bias_act(
            x: Array, b: Array | None = None, act: str = "linear", gain: float | None = None, **_: Any
        ) -> Array:
            x = x if b is None else x + b.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
            if act != "lrelu":
                return x if gain is None else x * gain
            signs.append(x > 0)
            positive = signs[-1] if slopes is None else slopes[len(signs) - 1]
            return jnp.where(positive, x, 0.2 * x) * (2**0.5 if gain is None else gain)

        with mock.patch.object(ops, "bias_act", bias_act):
            return jnp.sum(logits(nnx.merge(graphdef, state), image)), signs

    taps = layers.separable_taps if separable else lambda filter_: filter_
    state = jax.tree.map(lambda array: array.astype(dtype), state)
    with mock.patch.object(layers, "separable_taps", taps):
        value, signs = jax.jit(jax.grad(logit, has_aux=True))(jnp.asarray(image, dtype), state, slopes)
    return np.asarray(value, np.float64), [np.asarray(sign) for sign in signs]


def logits(network: Discriminator, image: Array) -> Array:
    """The logits, computed in the dtype of the image; `Discriminator.__call__` does not support float64."""
    x: Array | None = None
    img: Array | None = image
    for resolution in network.resolutions[:-1]:
        x, img = getattr(network, f"b{resolution}")(x, img, dtype=image.dtype)
    assert x is not None
    x = network.b4.conv(network.b4._with_deviation(x))
    return network.b4.out(network.b4.fc(x.transpose(0, 3, 1, 2).reshape(1, -1)))


def in_order(graphdef: Any, state: Any, order: np.ndarray) -> Any:
    """The state of an equal network with the channels of every layer in another order."""
    network = nnx.merge(graphdef, jax.tree.map(jnp.copy, state))
    for _, layer in nnx.iter_graph(network):
        if not isinstance(layer, layers.Conv2dLayer):
            continue
        weight = layer.weight[...][order]
        if weight.shape[1] >= len(order):  # not fromrgb; the last channel at 4 px is the standard deviation
            into = np.concatenate([order, np.arange(len(order), weight.shape[1])])
            weight = weight[:, into]
        layer.weight[...] = weight
        if layer.bias is not None:
            layer.bias[...] = layer.bias[...][order]
    fc = network.b4.fc
    fc.weight[...] = fc.weight[...].reshape(-1, len(order), 16)[:, order].reshape(fc.weight.shape)
    return nnx.state(network)


if __name__ == "__main__":
    command.run(main, FLAGS)
