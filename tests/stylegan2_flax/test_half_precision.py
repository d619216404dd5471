"""bfloat16 and float16: how far from float32, which blocks, and that nothing overflows."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax import layers, ops
from stylegan2_flax.layers import half_precision_from

slow = pytest.mark.slow  # each dtype once in every run, more networks on demand

# Of the largest value of an image or logit. On the goldens' networks the largest errors were 1.4e-2 and 1.9e-3.
TOLERANCE = {"bfloat16": 2e-2, "float16": 3e-3}
BF16, F16 = TOLERANCE


@partial(jax.jit, static_argnames="dtype")
def images_of(synthesis, ws, dtype):
    return synthesis(ws, dtype=dtype)


@partial(jax.jit, static_argnames="dtype")
def logits_of(discriminator, images, dtype):
    return discriminator(images, dtype=dtype)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("Gv_clamp", BF16),
        pytest.param("Gv_clamp", F16, marks=slow),
        ("Gv_resnet", F16),
        pytest.param("Gv_nonoise_relu", BF16, marks=slow),
    ],
)
def test_images(name, dtype, golden, generator, relative_error):
    data = golden(name)
    images = images_of(generator(name).synthesis, jnp.asarray(data["out/ws_psi1"]), dtype)
    assert images.dtype == jnp.float32
    assert 1e-5 < relative_error(images.transpose(0, 3, 1, 2), data["out/img_const"]) < TOLERANCE[dtype]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param("Dv_orig", BF16, marks=slow),
        ("Dv_skip", BF16),
        pytest.param("Dv_skip", F16, marks=slow),
        ("Dv_clamp_mb2", F16),
    ],
)
def test_logits(name, dtype, golden, discriminator, relative_error):
    data = golden(name)
    logits = logits_of(discriminator(name), jnp.asarray(data["in/img"].transpose(0, 2, 3, 1)), dtype)
    assert logits.dtype == jnp.float32
    assert 1e-5 < relative_error(logits, data["out/logits"]) < TOLERANCE[dtype]


def test_gradients(randomized):
    """To every parameter, all in float32: the whole points where the exact one does."""
    size: dict[str, Any] = {"channel_base": 64, "channel_max": 8, "architecture": "orig"}
    synthesis = randomized(lambda: sg2.SynthesisNetwork(8, 8, 3, **size, rngs=nnx.Rngs(0)))
    graphdef, params, buffers = nnx.split(synthesis, nnx.Param, sg2.Buffer)

    def loss(params, dtype):
        return jnp.mean(jnp.square(nnx.merge(graphdef, params, buffers)(jnp.ones((1, 4, 8)), dtype=dtype)))

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    exact, half = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient(params, dtype))])
        for dtype in ("float32", BF16)
    )
    assert half.dtype == np.float32
    assert 1e-5 < np.linalg.norm(half - exact) / np.linalg.norm(exact) < TOLERANCE[BF16]


@pytest.mark.parametrize(
    ("resolution", "num_fp16_res", "lowest"),
    [(1024, 4, 128), (1024, 0, 128), (1024, 1, 1024), (1024, 20, 8), (256, 2, 128), (16, 4, 8), (8, 4, 8), (4, 4, 8)],
)
def test_lowest_resolution_in_half_precision(resolution, num_fp16_res, lowest):
    assert half_precision_from(resolution, num_fp16_res) == lowest


def test_blocks_in_half_precision(randomized, monkeypatch):
    """The last ones of the generator, the first ones of the discriminator."""
    dtypes = {}

    def call_block(block, remat, x, img, *rest, **options):
        x, img = layers.call_block(block, remat, x, img, *rest, **options)
        dtypes[type(block).__name__, x.shape[1]] = x.dtype.name
        return x, img

    monkeypatch.setattr("stylegan2_flax.synthesis.call_block", call_block)
    monkeypatch.setattr("stylegan2_flax.discriminator.call_block", call_block)
    size: dict[str, Any] = {"channel_base": 256, "channel_max": 8, "num_fp16_res": 2}
    g = randomized(lambda: sg2.SynthesisNetwork(8, 32, 3, **size, rngs=nnx.Rngs(0)))
    d = randomized(lambda: sg2.Discriminator(img_resolution=32, **size, rngs=nnx.Rngs(0)))
    jax.eval_shape(lambda: d(g(jnp.ones((1, 8, 8)), dtype=F16), dtype=F16))
    heights = {
        block: [h for (name, h), dtype in dtypes.items() if name == block and dtype == F16] for block, _ in dtypes
    }
    assert heights == {"SynthesisBlock": [16, 32], "DiscriminatorBlock": [16, 8]}


def huge(network):
    """The same function in exact numbers: demodulation undoes it."""
    for layer in (network.b8.conv0, network.b8.conv1):
        for parameter in (layer.weight, layer.affine.weight, layer.affine.bias):
            parameter[...] = jnp.asarray(np.asarray(parameter[...]) * np.float32(1e4))
    return network


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_float16_does_not_overflow_in_the_generator(architecture, randomized, monkeypatch):
    size: dict[str, Any] = {"channel_base": 128, "channel_max": 16, "architecture": architecture}
    g = huge(randomized(lambda: sg2.SynthesisNetwork(8, 8, 3, **size, conv_clamp=256, rngs=nnx.Rngs(0))))
    ws = np.random.default_rng(0).standard_normal((2, 4, 8), np.float32)
    exact, half = images_of(g, ws, "float32"), images_of(g, ws, F16)
    assert np.abs(half - exact).max() < TOLERANCE[F16] * np.abs(exact).max()
    if architecture == "skip":
        monkeypatch.setattr(ops, "normalize_for_float16", lambda weight, styles: (weight, styles))
        assert not np.isfinite(jax.jit(lambda ws: g(ws, dtype=F16))(ws)).all()


@pytest.mark.parametrize("conv_clamp", [None, 256])
def test_float16_does_not_overflow_in_the_discriminator(conv_clamp, randomized):
    """With a clamp."""
    size: dict[str, Any] = {"img_resolution": 8, "channel_base": 64, "channel_max": 8}
    d = randomized(lambda: sg2.Discriminator(**size, conv_clamp=conv_clamp, rngs=nnx.Rngs(0)))
    logits = logits_of(d, np.full((2, 8, 8, 3), 6e4, np.float32), F16)
    assert np.isfinite(logits).all() == (conv_clamp is not None)


def test_normalisation_is_undone_by_demodulation():
    rng = np.random.default_rng(0)
    x, weight, styles = (rng.standard_normal(s).astype(np.float32) for s in ((2, 4, 4, 3), (5, 3, 3, 3), (2, 3)))
    weight[1] = 0
    styles *= 100
    normalized_weight, normalized_styles = jax.jit(ops.normalize_for_float16)(weight, styles)
    assert np.abs(normalized_styles).max() == 1.0
    assert np.abs(normalized_weight).max() == pytest.approx(27**-0.5)
    convolve = jax.jit(lambda *arguments: ops.modulated_conv2d(*arguments, padding=1))
    expected = convolve(x, weight, styles)
    result = convolve(x, normalized_weight, normalized_styles)
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float64", "int8"])
def test_other_dtypes_are_refused(dtype, generator, golden):
    with pytest.raises(ValueError, match=f"float32, bfloat16, float16, not in {dtype}"):
        generator("Gv_clamp").synthesis(golden("Gv_clamp")["in/wplus"], dtype=dtype)
