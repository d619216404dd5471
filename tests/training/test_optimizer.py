"""Both optimizers, by what one update does to a kernel, to kernels of several layers, and to a bias."""

import jax
import numpy as np
import optax
import pytest

from disentangle_jax.configs import faces64
from disentangle_jax.training.optimizer import make_optimizer, make_schedule

RATE = 0.1
SHAPES = {"dense": {"kernel": (6, 16), "bias": (16,)}, "embed": {"kernel": (3, 5, 4), "bias": (3, 4)}}


@pytest.fixture
def config():
    return faces64.get_config().optimizer


def draw(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32), SHAPES, is_leaf=lambda x: isinstance(x, tuple)
    )


def first_updates(config, gradients):
    """For weights at zero, which do not decay."""
    optimizer = make_optimizer(config, optax.constant_schedule(RATE))
    params = jax.tree.map(np.zeros_like, gradients)
    with jax.numpy_dtype_promotion("standard"):
        return jax.jit(optimizer.update)(gradients, optimizer.init(params), params)[0]


def test_muon_moves_kernels_by_orthogonal_matrices_and_the_rest_by_adam(config):
    gradients = draw(0)
    moved = first_updates(config, gradients)
    for gradient, update in [
        (gradients["dense"]["kernel"], moved["dense"]["kernel"]),
        *zip(gradients["embed"]["kernel"], moved["embed"]["kernel"], strict=True),
    ]:
        u, _, vt = np.linalg.svd(gradient, full_matrices=False)
        _, sizes, _ = np.linalg.svd(update)
        expected = 0.2 * RATE * np.sqrt(max(gradient.shape))  # the root mean square of its numbers is then 0.2 RATE
        np.testing.assert_allclose(sizes, expected, rtol=0.35)  # five iterations come near, and no nearer
        assert np.sum(-update * (u @ vt)) > 0.97 * np.linalg.norm(update) * np.linalg.norm(u @ vt)
    for name in ("dense", "embed"):
        steps = -moved[name]["bias"] / np.sign(gradients[name]["bias"])
        np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)
        assert RATE < steps.mean() < 1.5 * RATE  # longer than the rate: Nesterov's momentum


def test_adamw_moves_every_number_by_the_rate(config):
    config.name = "adamw"
    gradients = draw(0)
    for gradient, update in zip(
        jax.tree.leaves(gradients), jax.tree.leaves(first_updates(config, gradients)), strict=True
    ):
        np.testing.assert_allclose(update, -RATE * np.sign(gradient), rtol=1e-3)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_kernels_alone_decay(config, name):
    config.update(name=name, weight_decay=0.5)
    params, none = draw(1), jax.tree.map(np.zeros_like, draw(1))
    optimizer = make_optimizer(config, optax.constant_schedule(RATE))
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = jax.jit(optimizer.update)(none, optimizer.init(params), params)
    for layer in ("dense", "embed"):
        np.testing.assert_allclose(updates[layer]["kernel"], -0.5 * RATE * params[layer]["kernel"], rtol=1e-5)
        np.testing.assert_array_equal(updates[layer]["bias"], 0.0)


def test_the_rate_rises_and_falls_to_zero(config):
    config.update(warmup_steps=4, learning_rate=1.0)
    schedule = make_schedule(config, 12)
    rates = np.array([schedule(step) for step in range(13)]).tolist()
    assert rates[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[12] == 0.0
    with pytest.raises(ValueError, match=r"optimizer.warmup_steps \(4\) must be below train.num_steps \(4\)"):
        make_schedule(config, 4)
