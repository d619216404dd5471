"""The synthesis network against the goldens, and what it promises beyond them."""

import re
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax import layers

GOLDENS = ("G_a", "Gv_clamp", "Gv_orig", "Gv_resnet", "Gv_nonoise_relu")
SMALL: dict[str, Any] = {"channel_base": 64, "channel_max": 8}


@pytest.fixture(scope="module")
def tiny(randomized):
    return randomized(lambda: sg2.SynthesisNetwork(24, 8, 3, **SMALL, rngs=nnx.Rngs(0)))


@cache
def jitted(noise_mode):
    """One compilation for each network and batch size: graphdefs are static arguments."""

    def synthesis(graphdef, state, ws, key=None):
        return nnx.merge(graphdef, state)(ws, noise_mode, key)

    return jax.jit(synthesis, static_argnums=0)


def images_of(synthesis, ws, noise_mode="const", key=None):
    """As the goldens hold them: NCHW."""
    images = jitted(noise_mode)(*nnx.split(synthesis), jnp.asarray(ws), key)
    return np.asarray(images).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def results(golden, generator):
    """By name and key of the goldens: images, and what each block hands on; all that a network gives is one program."""

    @cache
    def run(name):
        data, found = golden(name), {}
        cutoff = 4 if name == "G_a" else 2
        given = {
            "const": data["out/ws_psi1"],
            f"const_psi0.5_cutoff{cutoff}": data[f"out/ws_psi0.5_cutoff{cutoff}"][:2],
            "const_wplus": data["in/wplus"],  # every layer has a latent of its own
        }

        def call_block(*arguments, **options):
            x, img = layers.call_block(*arguments, **options)
            resolution = x.shape[1]
            if resolution <= 16:
                found[f"feat_b{resolution}_sample0"] = x[:1]
            else:
                found[f"feat_b{resolution}_sample0_ch0-3_stride2"] = x[:1, ::2, ::2, :4]
            if img is not None:
                found[f"rgb_b{resolution}"] = img[: len(given["const"])]
            return x, img

        @jax.jit
        def outputs(synthesis, ws):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("stylegan2_flax.synthesis.call_block", call_block)
                images = synthesis(ws)
            found.pop(f"rgb_b{images.shape[1]}", None)
            parts = jnp.split(images, np.cumsum([len(ws) for ws in given.values()])[:-1])
            nhwc = found | {f"img_{key}": part for key, part in zip(given, parts, strict=True)}
            return {key: value.transpose(0, 3, 1, 2) for key, value in nhwc.items()}

        return outputs(generator(name).synthesis, np.concatenate(list(given.values())))

    return run


@pytest.mark.parametrize("name", GOLDENS)
def test_images(name, golden, results, relative_error):
    images = {key: value for key, value in results(name).items() if key.startswith("img")}
    assert len(images) == 3
    for key, value in images.items():
        assert relative_error(value, golden(name)[f"out/{key}"]) < 1e-5, key


@pytest.mark.parametrize("name", ["Gv_clamp", pytest.param("Gv_resnet", marks=pytest.mark.slow)])
def test_images_without_noise(name, golden, generator, relative_error):
    data = golden(name)
    images = images_of(generator(name).synthesis, data["out/ws_psi1"], "none")
    assert relative_error(images, data["out/img_none"]) < 1e-5


@pytest.mark.parametrize("name", ["G_a", "Gv_resnet"])
def test_blocks(name, golden, results, relative_error):
    """What each block hands on, where the whole image could hide a fault."""
    data = golden(name)
    found = {key: value for key, value in results(name).items() if key.startswith(("feat", "rgb"))}
    assert {f"out/{key}" for key in found} == {key for key in data if key.startswith(("out/feat", "out/rgb"))}
    for key, value in found.items():
        assert relative_error(value, data[f"out/{key}"]) < 1e-5, key


def test_layers(golden, generator, relative_error):
    data = golden("Gv_clamp")

    @jax.jit
    def outputs(synthesis, ws):
        styles, block, layer = synthesis.styles(ws), synthesis.b4, synthesis.b8.conv0
        x, _ = block(None, None, {"conv1": styles["b4.conv1"], "torgb": styles["b4.torgb"]})
        nchw = {
            "b8_conv0_out_const": layer(x, styles["b8.conv0"], "const"),
            "b8_conv0_out_none": layer(x, styles["b8.conv0"], "none"),
            "b4_torgb_out": block.torgb(x, styles["b4.torgb"]),
        }
        return {key: value.transpose(0, 3, 1, 2) for key, value in nchw.items()}

    for key, value in outputs(generator("Gv_clamp").synthesis, jnp.asarray(data["out/ws_psi1"])).items():
        assert relative_error(value, data[f"out/{key}"]) < 1e-5, key


def test_random_noise_is_that_of_the_key_and_differs_between_samples(tiny):
    ws = np.ones((2, 4, 24), np.float32)
    images, again, other = (images_of(tiny, ws, "random", jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(images, again)
    assert np.abs(images[0] - images[1]).max() > 0.01
    assert np.abs(images - other).max() > 0.01


def test_every_layer_draws_its_own_noise(monkeypatch, tiny):
    seen = []
    normal = jax.random.normal
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: seen.append(key) or normal(key, shape))

    @jax.jit
    def keys_of_layers(key):
        tiny(jnp.zeros((1, tiny.num_ws, tiny.w_dim)), "random", key=key)
        return [jax.random.key_data(key) for key in seen]

    keys = keys_of_layers(jax.random.key(0))
    assert len(keys) == len({tuple(np.asarray(key)) for key in keys}) == 3


@pytest.mark.parametrize(
    ("resolution", "channels", "architecture"),
    [
        *((4, 3, architecture) for architecture in ("skip", "resnet", "orig")),
        (8, 1, "resnet"),
        (8, 4, "orig"),
        pytest.param(8, 1, "skip", marks=pytest.mark.slow),
        pytest.param(8, 1, "orig", marks=pytest.mark.slow),
        pytest.param(8, 4, "skip", marks=pytest.mark.slow),
        pytest.param(8, 4, "resnet", marks=pytest.mark.slow),
    ],
)
def test_small_sizes(resolution, channels, architecture, randomized):
    synthesis = randomized(
        lambda: sg2.SynthesisNetwork(8, resolution, channels, **SMALL, architecture=architecture, rngs=nnx.Rngs(0))
    )
    assert synthesis.num_ws == {4: 2, 8: 4}[resolution]
    images = images_of(synthesis, np.ones((2, synthesis.num_ws, 8), np.float32))
    assert images.shape == (2, channels, resolution, resolution)
    assert 0 < images.std() < np.inf


@pytest.mark.parametrize("kernel_size", [1, 5])
def test_kernel_size_and_filter(kernel_size, randomized):
    synthesis = randomized(
        lambda: sg2.SynthesisNetwork(
            8, 8, 3, **SMALL, kernel_size=kernel_size, resample_filter=[1, 2, 1], rngs=nnx.Rngs(0)
        )
    )
    filters = {
        ".".join(map(str, path[:-1])): value.shape
        for path, value in nnx.to_flat_state(nnx.state(synthesis))
        if path[-1] == "resample_filter"
    }
    used, unused = (3, 3), (4, 4)  # layers that do not resample keep the default
    assert filters == {"b4": used, "b4.conv1": unused, "b8": used, "b8.conv0": used, "b8.conv1": unused}
    assert jax.eval_shape(lambda: synthesis(jnp.ones((1, 4, 8)))).shape == (1, 8, 8, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s(jnp.zeros((1, 5, 24))), "ws must be [b, 4, 24], got [1, 5, 24]"),
        (lambda s: s(jnp.zeros((1, 4, 23))), "ws must be [b, 4, 24], got [1, 4, 23]"),
        (lambda s: s(jnp.zeros((4, 24))), "ws must be [b, 4, 24], got [4, 24]"),
        (lambda s: s(jnp.zeros((1, 4, 24)), "fixed"), "unknown noise_mode 'fixed'"),
        (lambda s: s(jnp.zeros((1, 4, 24)), "random"), "needs a key"),
    ],
)
def test_bad_input_is_named(call, message, tiny):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(tiny)
