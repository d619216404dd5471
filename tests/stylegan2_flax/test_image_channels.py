"""Images of one and of four channels against a synthesis network in float64 NumPy, written from the formulas alone."""

from collections.abc import Mapping
from itertools import product

import jax
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2

RESOLUTION = 16
TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8.0
Arrays = Mapping[str, np.ndarray]


def correlate(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """x [n, h, w, i], kernels [n, o, i, k, k], no padding -> [n, h - k + 1, w - k + 1, o]."""
    size = kernels.shape[-1]
    h, w = x.shape[1] - size + 1, x.shape[2] - size + 1
    places = product(range(size), repeat=2)
    return sum(
        (np.einsum("nhwi,noi->nhwo", x[:, i : i + h, j : j + w], kernels[..., i, j]) for i, j in places), np.zeros(())
    )


def pad(x: np.ndarray, before: int, after: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))


def spread_out(x: np.ndarray) -> np.ndarray:
    """A zero after every pixel of each axis."""
    out = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3]))
    out[:, ::2, ::2] = x
    return out


def smooth(x: np.ndarray) -> np.ndarray:
    """The [1, 3, 3, 1] filter, times 4: it makes up for the zeros of `spread_out`."""
    h, w = x.shape[1] - 3, x.shape[2] - 3
    return sum(
        (4.0 * TAPS[i] * TAPS[j] * x[:, i : i + h, j : j + w] for i, j in product(range(4), repeat=2)), np.zeros(())
    )


def styles(arrays: Arrays, layer: str, w: np.ndarray) -> np.ndarray:
    weight = arrays[f"{layer}.affine.weight"]
    return w @ weight.T / np.sqrt(weight.shape[1]) + arrays[f"{layer}.affine.bias"]


def styled_layer(arrays: Arrays, layer: str, x: np.ndarray, w: np.ndarray, up: bool) -> np.ndarray:
    kernels = arrays[f"{layer}.weight"][None] * styles(arrays, layer, w)[:, None, :, None, None]
    kernels = kernels / np.sqrt(np.square(kernels).sum((2, 3, 4), keepdims=True) + 1e-8)
    if up:  # a transposed convolution of stride 2, then the filter
        x = smooth(pad(correlate(pad(spread_out(x), 2, 1), kernels[..., ::-1, ::-1]), 1, 1))
    else:
        x = correlate(pad(x, 1, 1), kernels)
    noise = arrays[f"{layer}.noise_const"] * arrays[f"{layer}.noise_strength"]
    x = x + noise[None, :, :, None] + arrays[f"{layer}.bias"]
    return np.where(x < 0.0, 0.2 * x, x) * np.sqrt(2.0)


def image_layer(arrays: Arrays, layer: str, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    modulation = styles(arrays, layer, w) / np.sqrt(x.shape[-1])
    return correlate(x, arrays[f"{layer}.weight"][None] * modulation[:, None, :, None, None]) + arrays[f"{layer}.bias"]


def reference(state: Arrays, ws: np.ndarray) -> np.ndarray:
    """ws [n, l, d] -> images [n, h, w, c]."""
    arrays = {name: np.asarray(array, np.float64) for name, array in state.items()}
    rows = iter(np.asarray(ws, np.float64).transpose(1, 0, 2))
    const = arrays["synthesis.b4.const"].transpose(1, 2, 0)
    x = styled_layer(arrays, "synthesis.b4.conv1", np.stack([const] * len(ws)), next(rows), up=False)
    w = next(rows)
    image = image_layer(arrays, "synthesis.b4.torgb", x, w)
    for resolution in (8, 16):
        block = f"synthesis.b{resolution}"
        x = styled_layer(arrays, f"{block}.conv0", x, w, up=True)
        x = styled_layer(arrays, f"{block}.conv1", x, next(rows), up=False)
        w = next(rows)
        image = smooth(pad(spread_out(image), 2, 1)) + image_layer(arrays, f"{block}.torgb", x, w)
    return image


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_any_number_of_channels_are_those_of_the_formulas(randomized, relative_error, channels):
    sizes = {"channel_base": 128, "channel_max": 16}
    generator = randomized(
        lambda: sg2.Generator(8, 0, 8, RESOLUTION, channels, synthesis_kwargs=sizes, rngs=nnx.Rngs(0))
    )
    ws = np.random.default_rng(channels).standard_normal((2, generator.num_ws, 8), np.float32)
    expected = reference(sg2.to_state_dict(generator), ws)
    images = jax.jit(lambda synthesis, ws: synthesis(ws))(generator.synthesis, ws)
    assert relative_error(images, expected) < 2e-6
