"""Rematerialisation: the same numbers, while less is kept for the backward pass.

Kept bytes are counted in what JAX hands from the forward to the backward pass: XLA's CPU compiler joins the two
computations of a block again, so its own statistics say nothing here.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2

SIZE: dict[str, Any] = {"channel_base": 256, "channel_max": 8}


def split_loss(network, call):
    """The loss as a function of the parameters, and the parameters."""
    graphdef, params, buffers = nnx.split(network, nnx.Param, sg2.Buffer)

    def loss(params, remat):
        return jnp.mean(jnp.square(call(nnx.merge(graphdef, params, buffers), remat)))

    return loss, params


def generator_loss(resolution, randomized):
    synthesis = randomized(lambda: sg2.SynthesisNetwork(8, resolution, 3, **SIZE, rngs=nnx.Rngs(0)))
    ws = np.random.default_rng(0).standard_normal((2, synthesis.num_ws, 8)).astype(np.float32)
    return split_loss(synthesis, lambda network, remat: network(ws, remat=remat))


def discriminator_loss(resolution, randomized):
    network = randomized(lambda: sg2.Discriminator(img_resolution=resolution, **SIZE, rngs=nnx.Rngs(0)))
    images = np.random.default_rng(0).standard_normal((2, resolution, resolution, 3)).astype(np.float32)
    return split_loss(network, lambda network, remat: network(images, remat=remat))


@pytest.mark.parametrize("make_loss", [generator_loss, discriminator_loss])
def test_same_gradient(make_loss, randomized):
    loss, params = make_loss(8, randomized)
    step = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    (value, gradient), (value_again, gradient_again) = step(params, False), step(params, True)
    np.testing.assert_allclose(value_again, value, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max() + 1e-12), gradient_again, gradient
    )


@pytest.mark.parametrize("make_loss", [generator_loss, discriminator_loss])
def test_less_is_kept(make_loss, randomized):
    loss, params = make_loss(32, randomized)

    def kept_bytes(remat):
        _, pullback = jax.eval_shape(lambda params: jax.vjp(lambda params: loss(params, remat), params), params)
        return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(pullback))

    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert kept_bytes(True) - weights < (kept_bytes(False) - weights) / 4
