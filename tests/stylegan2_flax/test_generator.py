"""The generator as a whole: mapping and synthesis together, its arguments and its size."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2

TINY: dict[str, Any] = {
    "z_dim": 16,
    "w_dim": 24,
    "img_resolution": 8,
    "mapping_kwargs": {"num_layers": 1},
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
}


@pytest.fixture(scope="module")
def tiny():
    sizes: dict[str, Any] = TINY | {"img_resolution": 4}
    return sg2.Generator(**sizes, rngs=nnx.Rngs(0))  # as training begins


def test_images_of_labels(golden, generator, relative_error):
    data = golden("G_b_cond")

    @jax.jit
    def images(generator, z, c):
        whole = generator(z, c)
        return whole, generator(z[:2], c[:2], truncation_psi=0.5, truncation_cutoff=4)

    whole, truncated = images(generator("G_b_cond"), data["in/z"], data["in/c"])
    assert relative_error(whole.transpose(0, 3, 1, 2), data["out/img_const"]) < 1e-5
    assert relative_error(truncated.transpose(0, 3, 1, 2), data["out/img_const_psi0.5_cutoff4"]) < 1e-5


def test_jit_and_vmap(tiny):
    graphdef, params, buffers = nnx.split(tiny, nnx.Param, sg2.Buffer)
    z = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)

    def call(params, z, psi):
        return nnx.merge(graphdef, params, buffers)(z, truncation_psi=psi)

    images = jax.jit(call)(params, z, 0.7)
    assert images.shape == (3, 4, 4, 3)
    assert images.dtype == jnp.float32
    one_by_one = jax.jit(jax.vmap(lambda one: call(params, one[None], 0.7)[0]))(z)
    np.testing.assert_allclose(one_by_one, images, atol=1e-5)


def test_size_of_the_published_network():
    """Config-f at 1024 px has 30,370,060 parameters, as its authors' tables print."""
    generator = nnx.eval_shape(lambda: sg2.Generator(rngs=nnx.Rngs(0)))
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(generator, nnx.Param))]
    assert sum(sizes) == 30_370_060
    assert generator.num_ws == 18


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_resolution": 48}, "power of two"),
        ({"img_channels": 0}, "img_channels must be an integer from 1"),
        ({"z_dim": 0}, "z_dim must be an integer from 1"),
        ({"c_dim": -1}, "c_dim must be an integer from 0"),
        ({"synthesis_kwargs": {"architecture": "unet"}}, "unknown architecture 'unet'"),
        ({"synthesis_kwargs": {"activation": "gelu"}}, "unknown activation 'gelu'"),
        ({"synthesis_kwargs": {"chanel_max": 8}}, "unknown synthesis_kwargs 'chanel_max': choose from channel_base, "),
        ({"synthesis_kwargs": {"w_dim": 8}}, "unknown synthesis_kwargs 'w_dim'"),
        ({"synthesis_kwargs": {"channel_base": 4}}, "leaves no channels at 8 px"),
        ({"synthesis_kwargs": {"kernel_size": 2}}, "kernel_size must be odd"),
        ({"synthesis_kwargs": {"conv_clamp": -1}}, "conv_clamp must be a positive number, got -1"),
        ({"mapping_kwargs": {"layers": 8}}, "unknown mapping_kwargs 'layers'"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: sg2.Generator(**(TINY | changes), rngs=nnx.Rngs(0)))


def test_init_kwargs_build_the_same_generator(tiny):
    again = nnx.eval_shape(lambda: sg2.Generator(**tiny.init_kwargs, rngs=nnx.Rngs(0)))
    assert again.init_kwargs == tiny.init_kwargs
    assert nnx.graphdef(again) == nnx.graphdef(tiny)


def test_new_generators_make_images_of_unit_scale(tiny):
    z = np.random.default_rng(0).standard_normal((8, tiny.z_dim), np.float32)
    images = np.asarray(jax.jit(lambda g, z: g(z))(tiny, z))
    assert 0.2 < images.std() < 5
