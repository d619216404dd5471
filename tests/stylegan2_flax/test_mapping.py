"""The mapping network against the goldens, truncation, and the mean latent."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax import ops

GOLDENS = ("G_a", "G_b_cond", "Gv_clamp")


@pytest.fixture(scope="module")
def tiny(randomized):
    return randomized(lambda: sg2.MappingNetwork(16, 0, 24, num_ws=4, num_layers=2, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize("name", GOLDENS)
def test_latents(name, golden, generator, relative_error):
    data = golden(name)
    cutoff = 2 if name.startswith("Gv") else 4

    @jax.jit
    def latents(mapping, z, c):
        return {
            "psi1": mapping(z, c),
            f"psi0.5_cutoff{cutoff}": mapping(z, c, truncation_psi=0.5, truncation_cutoff=cutoff),
            "psi0.7_nocutoff": mapping(z, c, truncation_psi=0.7),
            "psi-0.3_nocutoff": mapping(z, c, truncation_psi=-0.3),
        }

    for key, ws in latents(generator(name).mapping, data["in/z"], data["in/c"]).items():
        assert relative_error(ws, data[f"out/ws_{key}"]) < 1e-5, key


@pytest.mark.parametrize("name", GOLDENS)
def test_layers(name, golden, generator, relative_error):
    data = golden(name)

    @jax.jit
    def layers(mapping, z, c):
        x = outputs = ops.normalize_2nd_moment(z)
        outputs = {"z_normalized": x}
        if mapping.c_dim:
            outputs["embed"] = mapping.embed(c)
            outputs["embed_normalized"] = ops.normalize_2nd_moment(outputs["embed"])
            x = jnp.concatenate([x, outputs["embed_normalized"]], axis=1)
        for i in range(mapping.num_layers):
            outputs[f"fc{i}"] = x = getattr(mapping, f"fc{i}")(x)
        return outputs

    outputs = layers(generator(name).mapping, jnp.asarray(data["in/z"]), jnp.asarray(data["in/c"]))
    assert {f"out/map_{key}" for key in outputs} == {key for key in data if key.startswith("out/map_")}
    for key, value in outputs.items():
        assert relative_error(value, data[f"out/map_{key}"]) < 1e-5, key


def test_truncation_can_be_traced(tiny):
    z = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    truncate = jax.jit(lambda psi: tiny(z, truncation_psi=psi, truncation_cutoff=3))
    none, half, whole = (np.asarray(truncate(np.float32(psi))) for psi in (0, 0.5, 1))
    np.testing.assert_allclose(none[:, :3], np.broadcast_to(tiny.w_avg[...], (3, 3, 24)), atol=1e-7)
    np.testing.assert_allclose(half[:, :3], (none + whole)[:, :3] / 2, atol=1e-6)
    np.testing.assert_array_equal(half[:, 3:], whole[:, 3:])


@pytest.mark.parametrize("name", ["G_a", "G_b_cond"])
def test_update_of_the_mean_latent(name, golden, generator, parameters, relative_error):
    data, mapping = golden(name), nnx.clone(generator(name).mapping)
    mapping.update_w_avg(jnp.asarray(data["out/ws_psi1"]))
    updated = mapping.w_avg[...]
    assert relative_error(updated, data["out/w_avg_after_one_training_call_beta0.995"]) < 1e-6
    mapping.w_avg[...] = jnp.asarray(parameters(name)["mapping.w_avg"])
    mapping.update_w_avg(jnp.asarray(data["out/ws_psi1"][:, 0]))
    np.testing.assert_array_equal(mapping.w_avg[...], updated)


def test_speed_of_the_mean_latent(untrained):
    mapping = untrained(lambda rngs: sg2.MappingNetwork(4, 0, 3, num_ws=2, num_layers=1, w_avg_beta=0.75, rngs=rngs))
    w = jnp.asarray(np.array([[4, 8, 0], [0, 0, 0]], np.float32))
    mapping.update_w_avg(w)
    np.testing.assert_array_equal(mapping.w_avg[...], [0.5, 1.0, 0.0])
    mapping.update_w_avg(w)
    np.testing.assert_array_equal(mapping.w_avg[...], [0.875, 1.75, 0.0])


def test_mean_latent_has_no_gradient(tiny):
    def mean(w):
        mapping = nnx.clone(tiny)
        mapping.update_w_avg(w)
        return jnp.sum(mapping.w_avg[...])

    np.testing.assert_array_equal(jax.jit(jax.grad(mean))(np.ones((2, 24), np.float32)), 0)


def test_without_a_mean_latent(randomized):
    mapping = randomized(
        lambda: sg2.MappingNetwork(16, 0, 24, num_ws=4, num_layers=1, w_avg_beta=None, rngs=nnx.Rngs(0))
    )
    z, w = np.ones((2, 16), np.float32), np.ones((2, 24), np.float32)
    assert jax.eval_shape(mapping, z).shape == (2, 4, 24)
    with pytest.raises(ValueError, match="no mean latent"):
        jax.eval_shape(lambda: mapping(z, truncation_psi=0.5))
    with pytest.raises(ValueError, match="no mean latent"):
        mapping.update_w_avg(jnp.asarray(w))


def test_widths():
    mapping = nnx.eval_shape(
        lambda: sg2.MappingNetwork(
            16, 5, 24, num_ws=4, num_layers=3, embed_features=7, layer_features=11, rngs=nnx.Rngs(0)
        )
    )
    shapes = {name: getattr(mapping, name).weight.shape for name in ("embed", "fc0", "fc1", "fc2")}
    assert shapes == {"embed": (7, 5), "fc0": (11, 23), "fc1": (11, 11), "fc2": (24, 11)}


def test_labels_alone(randomized):
    """As some published discriminators have it: the embedded label is all."""
    mapping = randomized(
        lambda: sg2.MappingNetwork(0, 5, 24, num_ws=None, num_layers=0, w_avg_beta=None, rngs=nnx.Rngs(0))
    )
    c = np.eye(5, dtype=np.float32)
    latents, expected = jax.jit(lambda m, c: (m(None, c), ops.normalize_2nd_moment(m.embed(c))))(mapping, c)
    np.testing.assert_array_equal(latents, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(np.zeros((1, 15), np.float32)), "z must be [b, 16], got [1, 15]"),
        (lambda m: m(None), "needs z [b, 16]"),
        (lambda m: m(jnp.zeros((1, 16)), jnp.zeros((1, 3))), "c must be [1, 0], got [1, 3]"),
    ],
)
def test_bad_input_is_named(call, message, tiny):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(tiny)


def test_bad_labels_are_named(golden, generator):
    data, mapping = golden("G_b_cond"), generator("G_b_cond").mapping
    with pytest.raises(ValueError, match="conditional: give labels"):
        mapping(data["in/z"])
    with pytest.raises(ValueError, match=re.escape("c must be [3, 5], got [2, 5]")):
        mapping(data["in/z"], data["in/c"][:2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 0}, "num_layers 0 needs an input as wide as w_dim, 24, but it has 16"),
        ({"num_layers": -1}, "num_layers must be from 0"),
        ({"num_layers": 10**9}, "num_layers must be from 0 to 64"),
        ({"z_dim": 0}, "no input"),
        ({"w_dim": 0}, "w_dim must be an integer from 1"),
        ({"layer_features": 0}, "layer_features must be an integer"),
        ({"lr_multiplier": 0}, "lr_multiplier must be a positive number"),
        ({"activation": "gelu"}, "unknown activation 'gelu'"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    arguments: dict[str, Any] = {"z_dim": 16, "c_dim": 0, "w_dim": 24, "num_ws": 4, **changes}
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: sg2.MappingNetwork(**arguments, rngs=nnx.Rngs(0)))


def test_labels_are_normalised_alone_or_together_with_the_latents(untrained):
    def mapping(input_norm, c_dim=3):
        return untrained(
            lambda rngs: sg2.MappingNetwork(16, c_dim, 24, 4, num_layers=1, input_norm=input_norm, rngs=rngs)
        )

    z, c = np.random.default_rng(0).normal(size=(2, 16)).astype("f4"), np.eye(3, dtype="f4")[:2]
    with_labels, without = jax.jit(lambda m: m(z, c)), jax.jit(lambda m: m(z))
    assert not np.allclose(with_labels(mapping("joint")), with_labels(mapping("separate")), rtol=1e-3)
    np.testing.assert_array_equal(without(mapping("joint", 0)), without(mapping("separate", 0)))
    with pytest.raises(ValueError, match="input_norm must be one of separate, joint, got 'none'"):
        mapping("none")
