"""Where float32 gradients of a discriminator differ from float64, and why.

    python experiments/benchmarks/gradients.py --resolution=1024                    a minute a seed on two cores

A unit whose input is within rounding of zero may take the other slope of the leaky ReLU in float32: a flip. Each row is
one way to compute the gradient of the logit to the image: as the package does; with two-dimensional filters instead of
separable ones; with the channels in another order, which changes the order of every sum and nothing else; and with the
slopes that float64 chose. Columns: largest error and root mean square, relative to the largest value of the gradient;
the share of values that are off by more than 1e-4 of it; the flips. README.md says what came out.
"""

import argparse
from collections.abc import Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from stylegan2_flax import layers, ops
from stylegan2_flax.discriminator import Discriminator


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--channels", type=int, default=16, help="at every resolution")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2, 3), help="of weights and image")
    arguments = parser.parse_args(argv)
    with jax.enable_x64(True):
        for seed in arguments.seeds:
            compare(arguments.resolution, arguments.channels, seed)


def compare(resolution: int, channels: int, seed: int) -> None:
    """Prints the rows of one random discriminator and image."""
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
    """The gradient of the logit to the image, and for each leaky ReLU where its input is positive.

    slopes: which units count as positive, instead of those that are.
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
    """The network's value in the image's dtype: its own call computes in float32 at most."""
    x: Array | None = None
    img: Array | None = image
    for resolution in network.resolutions[:-1]:
        x, img = getattr(network, f"b{resolution}")(x, img, dtype=image.dtype)
    assert x is not None
    x = network.b4.conv(network.b4._with_deviation(x))
    return network.b4.out(network.b4.fc(x.transpose(0, 3, 1, 2).reshape(1, -1)))


def in_order(graphdef: Any, state: Any, order: np.ndarray) -> Any:
    """The state of the same function with the channels of every layer in another order."""
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
    main()
