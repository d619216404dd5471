"""The generator against the goldens, and what it promises beyond them."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2

ALL = ("G_a", "Gv_clamp", "Gv_orig", "Gv_resnet", "Gv_nonoise_relu")
TINY = {
    "z_dim": 16,
    "w_dim": 24,
    "img_resolution": 8,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
}


@cache
def jitted(noise_mode):
    """One compilation for each generator and batch size: graphdefs are static arguments."""

    def synthesis(graphdef, state, ws, key=None):
        return nnx.merge(graphdef, state).synthesis(ws, noise_mode, key)

    return jax.jit(synthesis, static_argnums=0)


def images_of(generator, ws, noise_mode="const", key=None):
    """As the goldens hold them: NCHW."""
    images = jitted(noise_mode)(*nnx.split(generator), jnp.asarray(ws), key)
    return np.asarray(images).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def tiny():
    return sg2.Generator(**TINY, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("psi", ["1", "0.5", "0.7", "-0.3"])
def test_mapping(name, psi, golden, generator, relative_error):
    data = golden(name)
    cutoff = {"G_a": 4}.get(name, 2) if psi == "0.5" else None
    suffix = {"1": "psi1", "0.5": f"psi0.5_cutoff{cutoff}"}.get(psi, f"psi{psi}_nocutoff")
    ws = generator(name).mapping(data["in/z"], data["in/c"], truncation_psi=float(psi), truncation_cutoff=cutoff)
    assert relative_error(ws, data[f"out/ws_{suffix}"]) < 1e-5


def test_conditional_mapping(golden, parameters, relative_error):
    data = golden("mapping_conditional")
    mapping = sg2.MappingNetwork(512, 5, 512, num_ws=8, num_layers=1, rngs=nnx.Rngs(0))
    for name, array in parameters("mapping_conditional").items():
        _, layer, leaf = name.split(".")
        getattr(getattr(mapping, layer), leaf)[...] = jnp.asarray(array)
    ws = mapping(data["in/z"], data["in/c"])
    assert ws.shape == (3, 8, 512)
    assert relative_error(ws[:, 0], data["out/map_fc0"]) < 1e-5
    with pytest.raises(ValueError, match="conditional: give labels"):
        mapping(data["in/z"])
    with pytest.raises(ValueError, match=re.escape("c must be [3, 5], got [2, 5]")):
        mapping(data["in/z"], data["in/c"][:2])


@pytest.mark.parametrize("name", ALL)
def test_synthesis(name, golden, generator, relative_error):
    data = golden(name)
    ws = data["out/ws_psi1"]
    assert relative_error(images_of(generator(name), ws), data["out/img_const"]) < 1e-5
    assert relative_error(images_of(generator(name), ws[:2], "none"), data["out/img_none"]) < 1e-5
    # every layer with a latent of its own
    assert relative_error(images_of(generator(name), data["in/wplus"]), data["out/img_const_wplus"]) < 1e-5


def test_layers(golden, generator, relative_error):
    """Alone, where the whole image could hide a fault."""
    data = golden("Gv_clamp")
    synthesis = generator("Gv_clamp").synthesis
    block, layer = synthesis.b4, synthesis.b8.conv0

    @jax.jit
    def outputs(w):
        x, _ = block(None, None, w[:, :2])
        nchw = {
            "b8_conv0_out_const": layer(x, w[:, 1], "const"),
            "b8_conv0_out_none": layer(x, w[:, 1], "none"),
            "b4_torgb_out": block.torgb(x, w[:, 1]),
        }
        return {"b8_conv0_styles": layer.affine(w[:, 1])} | {k: v.transpose(0, 3, 1, 2) for k, v in nchw.items()}

    for name, y in outputs(jnp.asarray(data["out/ws_psi1"])).items():
        assert relative_error(y, data[f"out/{name}"]) < 1e-5, name


def test_gradients_of_path_length_regularisation(golden, generator, relative_error):
    """To the latents, and through that gradient to every parameter."""
    data = golden("G_a")
    graphdef, params, buffers = nnx.split(generator("G_a"), nnx.Param, sg2.Buffer)
    noise = jnp.asarray(data["in/pl_noise_raw"].transpose(0, 2, 3, 1) / 64)

    def loss(params):
        g = nnx.merge(graphdef, params, buffers)
        ws = g.mapping(data["in/z"][:2])
        gradients = jax.grad(lambda ws: jnp.sum(g.synthesis(ws) * noise))(ws)
        lengths = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradients), axis=2), axis=1))
        mean = 0.99 * jnp.asarray(data["in/pl_mean_old"]) + 0.01 * jnp.mean(lengths)
        return jnp.mean(2 * jnp.square(lengths - mean)), (gradients, lengths)

    (penalty, (gradients, lengths)), by_params = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert relative_error(gradients, data["out/pl_grads"]) < 1e-4
    assert relative_error(lengths, data["out/pl_lengths"]) < 1e-4
    assert relative_error(penalty, data["out/pl_loss"]) < 1e-4
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(by_params))
    norms = {jax.tree_util.keystr(path, simple=True, separator="."): jnp.linalg.norm(g) for path, g in leaves}
    prefix = "out/pl_paramgradnorm/"
    expected = {key.removeprefix(prefix): norm for key, norm in data.items() if key.startswith(prefix)}
    assert norms.keys() == expected.keys()
    for name, norm in norms.items():
        assert float(norm) == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name


def test_jit_and_vmap(tiny):
    graphdef, params, buffers = nnx.split(tiny, nnx.Param, sg2.Buffer)
    z = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)

    def call(params, z, psi):
        return nnx.merge(graphdef, params, buffers)(z, truncation_psi=psi)

    images = jax.jit(call)(params, z, 0.7)
    assert images.shape == (3, 8, 8, 3)
    assert images.dtype == jnp.float32
    one_by_one = jax.jit(jax.vmap(lambda one: call(params, one[None], 0.7)[0]))(z)
    np.testing.assert_allclose(one_by_one, images, atol=1e-5)


def test_random_noise_is_that_of_the_key_and_differs_between_samples(golden, generator):
    ws = np.repeat(golden("Gv_clamp")["out/ws_psi1"][:1], 2, axis=0)
    images, again, other = (images_of(generator("Gv_clamp"), ws, "random", jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(images, again)
    assert np.abs(images[0] - images[1]).max() > 0.01
    assert np.abs(images - other).max() > 0.01


def test_every_layer_draws_its_own_noise(monkeypatch, tiny):
    seen = []
    normal = jax.random.normal
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: seen.append(key) or normal(key, shape))

    @jax.jit
    def keys_of_layers(key):
        tiny.synthesis(jnp.zeros((1, tiny.num_ws, tiny.w_dim)), "random", key=key)
        return [jax.random.key_data(key) for key in seen]

    keys = keys_of_layers(jax.random.key(0))
    assert len(keys) == len({tuple(np.asarray(key)) for key in keys}) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.synthesis(jnp.zeros((1, 5, 24))), "ws must be [b, 4, 24], got [1, 5, 24]"),
        (lambda g: g.synthesis(jnp.zeros((1, 4, 23))), "ws must be [b, 4, 24], got [1, 4, 23]"),
        (lambda g: g.synthesis(jnp.zeros((4, 24))), "ws must be [b, 4, 24], got [4, 24]"),
        (lambda g: g.synthesis(jnp.zeros((1, 4, 24)), "fixed"), "unknown noise_mode 'fixed'"),
        (lambda g: g.synthesis(jnp.zeros((1, 4, 24)), "random"), "needs a key"),
        (lambda g: g.mapping(jnp.zeros((1, 15))), "z must be [b, 16], got [1, 15]"),
        (lambda g: g.mapping(jnp.zeros((1, 16)), jnp.zeros((1, 3))), "c must be [1, 0], got [1, 3]"),
    ],
)
def test_bad_input_is_named(call, message, tiny):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(tiny)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_resolution": 48}, "power of two"),
        ({"synthesis_kwargs": {"architecture": "unet"}}, "unknown architecture 'unet'"),
        ({"synthesis_kwargs": {"activation": "gelu"}}, "unknown activation 'gelu'"),
        ({"synthesis_kwargs": {"chanel_max": 8}}, "chanel_max"),
        ({"mapping_kwargs": {"layers": 8}}, "layers"),
        ({"mapping_kwargs": {"num_layers": 0}}, "num_layers"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        nnx.eval_shape(lambda: sg2.Generator(**(TINY | changes), rngs=nnx.Rngs(0)))


def test_init_kwargs_build_the_same_generator(tiny):
    again = sg2.Generator(**tiny.init_kwargs, rngs=nnx.Rngs(0))
    assert again.init_kwargs == tiny.init_kwargs
    jax.tree.map(np.testing.assert_array_equal, sg2.to_state_dict(again), sg2.to_state_dict(tiny))


def test_new_generators_make_images_of_unit_scale(tiny):
    images = images_of(tiny, tiny.mapping(jax.random.normal(jax.random.key(0), (8, tiny.z_dim))))
    assert 0.2 < images.std() < 5
