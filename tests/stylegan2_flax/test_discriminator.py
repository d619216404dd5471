"""The discriminator against the goldens, and what it promises beyond them."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax import layers, ops

TINY: dict[str, Any] = {"img_resolution": 8, "channel_base": 64, "channel_max": 8}

logits_of = jax.jit(lambda discriminator, images, c=None: discriminator(images, c))


def nhwc(x):
    return jnp.asarray(x.transpose(0, 2, 3, 1))


def with_random_weights(randomized, **changes):
    return randomized(lambda: sg2.Discriminator(**(TINY | changes), rngs=nnx.Rngs(0)))


def some_images(n, resolution=8, channels=3):
    return np.random.default_rng(0).standard_normal((n, resolution, resolution, channels)).astype(np.float32)


@pytest.mark.parametrize("name", ["D_c", "D_d_cond"])
def test_logits_and_blocks(name, golden, discriminator, relative_error):
    """What each block hands on, where the logits could hide a fault."""
    data, handed_on = golden(name), []

    def call_block(*arguments, **options):
        handed_on.append(layers.call_block(*arguments, **options))
        return handed_on[-1]

    @jax.jit
    def outputs(network, images, c):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stylegan2_flax.discriminator.call_block", call_block)
            found = {"logits": network(images, c)}
        for resolution, (x, _) in zip(network.resolutions[:-1], handed_on, strict=True):
            key = f"feat_out_of_b{resolution}_sample0"
            found[key] = x[:1].transpose(0, 3, 1, 2)[:, : data[f"out/{key}"].shape[1]]
        x, epilogue = handed_on[-1][0], network.b4
        deviation = ops.minibatch_stddev(x, epilogue.mbstd_group_size, epilogue.mbstd_num_channels)
        tiled = jnp.broadcast_to(deviation[:, None, None, :], (*x.shape[:3], 1))
        x = epilogue.conv(jnp.concatenate([x, tiled], axis=-1)).transpose(0, 3, 1, 2)
        found |= {"mbstd_map_first_pixel": deviation, "b4_conv_out_sample0": x[:1]}
        found["b4_fc_out"] = epilogue.fc(x.reshape(x.shape[0], -1))
        return found | ({"cmap": network.mapping(None, c)} if network.c_dim else {})

    c = jnp.asarray(data["in/c"])
    found = outputs(discriminator(name), nhwc(data["in/img"]), c)
    assert {f"out/{key}" for key in found} == {
        k for k in data if k.startswith(("out/feat", "out/b4", "out/mb", "out/cm"))
    } | {"out/logits"}
    for key, value in found.items():
        assert relative_error(value, data[f"out/{key}"]) < 1e-5, key
    if name == "D_d_cond":  # has as many other images
        logits = outputs(discriminator(name), nhwc(data["in/fake"]), c)["logits"]
        assert relative_error(logits, data["out/logits_fake"]) < 1e-5


@pytest.mark.parametrize("name", ["Dv_clamp_mb2", "Dv_orig", "Dv_skip"])
def test_logits(name, golden, discriminator, relative_error):
    data, c = golden(name), golden(name).get("in/c")
    logits = logits_of(discriminator(name), nhwc(data["in/img"]), c)
    assert relative_error(logits, data["out/logits"]) < 1e-5


@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_logits_of_few_images(n, golden, discriminator, relative_error):
    """A batch smaller than the groups of the minibatch standard deviation is one group."""
    data = golden("D_d_cond")
    logits = logits_of(discriminator("D_d_cond"), nhwc(data["in/img"][:n]), data["in/c"][:n])
    assert relative_error(logits, data[f"out/logits_first{n}"]) < 1e-5


@pytest.mark.parametrize(
    ("resolution", "channels", "architecture"),
    [
        *((4, 3, architecture) for architecture in ("resnet", "skip", "orig")),
        (8, 1, "resnet"),
        (8, 4, "skip"),
        pytest.param(8, 1, "skip", marks=pytest.mark.slow),
        pytest.param(8, 1, "orig", marks=pytest.mark.slow),
        pytest.param(8, 4, "resnet", marks=pytest.mark.slow),
        pytest.param(8, 4, "orig", marks=pytest.mark.slow),
    ],
)
def test_small_sizes(resolution, channels, architecture, randomized):
    network = with_random_weights(
        randomized, img_resolution=resolution, img_channels=channels, architecture=architecture
    )
    logits = logits_of(network, some_images(2, resolution, channels))
    assert logits.shape == (2, 1)
    assert float(logits[0, 0]) != float(logits[1, 0])


def test_size_of_the_published_network():
    """Config-f at 1024 px has 29,012,513 parameters, as its authors' tables print."""
    network = nnx.eval_shape(lambda: sg2.Discriminator(rngs=nnx.Rngs(0)))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(network, nnx.Param))) == 29_012_513


def test_group_of_the_whole_batch(randomized):
    images = some_images(6, 4)
    whole, of_six, of_two = (
        logits_of(with_random_weights(randomized, img_resolution=4, epilogue_kwargs={"mbstd_group_size": size}), images)
        for size in (None, 6, 2)
    )
    np.testing.assert_array_equal(whole, of_six)
    assert np.abs(whole - of_two).max() > 1e-3 * np.abs(whole).max()


def test_without_minibatch_standard_deviation(randomized):
    """Then no sample hears of another, and any batch will do."""
    network = with_random_weights(randomized, img_resolution=4, epilogue_kwargs={"mbstd_num_channels": 0})
    images = some_images(5, 4)
    assert network.b4.conv.weight.shape[1] == 8
    np.testing.assert_allclose(logits_of(network, images)[:2], logits_of(network, images[:2]), rtol=1e-5)


def test_labels_of_another_width(randomized):
    sizes: dict[str, Any] = {"img_resolution": 4, "c_dim": 5, "cmap_dim": 3, "mapping_kwargs": {"num_layers": 2}}
    network = with_random_weights(randomized, **sizes)
    assert network.mapping.fc1.weight.shape == (3, 3)
    assert network.b4.out.weight.shape == (3, 8)
    logits = logits_of(network, np.repeat(some_images(1, 4), 2, axis=0), np.eye(5, dtype=np.float32)[:2])
    assert float(logits[0, 0]) != float(logits[1, 0])


def test_filter(randomized):
    network = with_random_weights(randomized, architecture="skip", block_kwargs={"resample_filter": [1, 2, 1]})
    filters = {
        ".".join(map(str, path[:-1])): value.shape
        for path, value in nnx.to_flat_state(nnx.state(network))
        if path[-1] == "resample_filter"
    }
    used, unused = (3, 3), (4, 4)  # layers that do not resample keep the default
    assert filters == {
        "b8": used,
        "b8.fromrgb": unused,
        "b8.conv0": unused,
        "b8.conv1": used,
        "b4.fromrgb": unused,
        "b4.conv": unused,
    }
    assert np.isfinite(logits_of(network, some_images(1))).all()


@pytest.mark.parametrize("name", ["D_d_cond", "Dv_skip"])
def test_init_kwargs_build_the_same_discriminator(name, discriminator):
    network = discriminator(name)
    again = nnx.eval_shape(lambda: sg2.Discriminator(**network.init_kwargs, rngs=nnx.Rngs(0)))
    assert again.init_kwargs == network.init_kwargs
    assert nnx.graphdef(again) == nnx.graphdef(network)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d(np.zeros((1, 32, 32, 3), np.uint8)), "floating point numbers in about [-1, 1], got uint8"),
        (
            lambda d: d(jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 5))),
            "images must be [b, 32, 32, 3], got [1, 16, 16, 3]",
        ),
        (
            lambda d: d(jnp.zeros((1, 3, 32, 32)), jnp.zeros((1, 5))),
            "images must be [b, 32, 32, 3], got [1, 3, 32, 32]",
        ),
        (lambda d: d(jnp.zeros((2, 32, 32, 3)), jnp.zeros((1, 5))), "c must be [2, 5], got [1, 5]"),
        (lambda d: d(jnp.zeros((2, 32, 32, 3))), "conditional: give labels c [b, 5]"),
        (lambda d: d(jnp.zeros((6, 32, 32, 3)), jnp.zeros((6, 5))), "a batch of 6 is no multiple of the 4 samples"),
    ],
)
def test_bad_input_is_named(call, message, discriminator):
    with pytest.raises(ValueError, match=re.escape(message)):
        nnx.eval_shape(call, discriminator("D_d_cond"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_resolution": 48}, "power of two"),
        ({"architecture": "unet"}, "unknown architecture 'unet'"),
        ({"conv_clamp": 0}, "conv_clamp must be a positive number"),
        ({"block_kwargs": {"activation": "gelu"}}, "unknown activation 'gelu'"),
        ({"block_kwargs": {"architecture": "skip"}}, "unknown block_kwargs 'architecture': choose from activation, "),
        ({"mapping_kwargs": {"w_avg_beta": 0.5}}, "unknown mapping_kwargs 'w_avg_beta'"),
        (
            {"epilogue_kwargs": {"mbstd_size": 4}},
            "unknown epilogue_kwargs 'mbstd_size': choose from mbstd_group_size, ",
        ),
        ({"epilogue_kwargs": {"mbstd_group_size": 0}}, "mbstd_group_size must be an integer from 1"),
        ({"epilogue_kwargs": {"mbstd_num_channels": 3}}, "mbstd_num_channels 3 does not divide the 8 channels"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: sg2.Discriminator(**(TINY | changes), rngs=nnx.Rngs(0)))
