"""Adam and the running average against the goldens, and what they promise beyond them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stylegan2_flax.optimizer import ema_decay, lazy_adam

TABLE = "out/ema_beta_table_cols_batch_emakimg_ramp(-1=None)_curnimg_beta"


def run(optimizer, params, gradients):
    """The parameters after each step."""
    state, trajectory = optimizer.init(params), []
    step = jax.jit(optimizer.update)
    for gradient in gradients:
        updates, state = step(gradient, state, params)
        params = optax.apply_updates(params, updates)
        trajectory.append(params)
    return trajectory


@pytest.mark.parametrize(("name", "rate", "interval"), [("G", 0.0025, 4), ("D", 0.002, 16)])
def test_adam(name, rate, interval, golden, relative_error):
    data = golden("optim")
    trajectory = run(lazy_adam(rate, interval=interval), jnp.asarray(data["in/p0"]), jnp.asarray(data["in/grads"]))
    expected = data[f"out/adam_{name}_trajectory"]
    assert relative_error(jnp.stack(trajectory), expected) < 1e-6
    # against the way moved, which is a thousand times smaller than the parameters
    start = data["in/p0"]
    np.testing.assert_allclose(np.stack(trajectory) - start, expected - start, rtol=1e-3, atol=1e-6)
    rate, b1, b2 = data[f"out/adam_{name}_lr_beta1_beta2"].tolist()
    plain = run(lazy_adam(rate, b1, b2), jnp.asarray(start), jnp.asarray(data["in/grads"]))
    np.testing.assert_allclose(np.stack(plain), np.stack(trajectory), rtol=1e-6)


def test_adam_survives_a_bad_batch():
    params = {"a": jnp.zeros((4,)), "b": jnp.zeros(())}
    bad = {"a": jnp.array([jnp.nan, jnp.inf, -jnp.inf, 2e6]), "b": jnp.ones(())}
    tame = {"a": jnp.array([0.0, 1e5, -1e5, 2e6]), "b": jnp.ones(())}
    good = jax.tree.map(jnp.ones_like, params)
    for after_bad, after_tame in zip(
        run(lazy_adam(0.1, 0.5), params, [bad, good]), run(lazy_adam(0.1, 0.5), params, [tame, good]), strict=True
    ):
        jax.tree.map(np.testing.assert_array_equal, after_bad, after_tame)


def test_adam_refuses_an_interval_of_zero():
    with pytest.raises(ValueError, match="interval=0"):
        lazy_adam(0.1, interval=0)


def test_ema_decay(golden):
    """As numbers and under jit: also the rate 1 - decay, which is all that acts."""
    table = golden("optim")[TABLE]
    assert len(table) == 72
    rows = [
        ((int(batch), kimg, None if ramp < 0 else ramp), int(images)) for batch, kimg, ramp, images, _ in table.tolist()
    ]
    jitted = jax.jit(lambda images: jnp.stack([ema_decay(*row, n) for (row, _), n in zip(rows, images, strict=True)]))
    decays = jitted(np.asarray([images for _, images in rows], np.int32))
    for (arguments, images), beta, under_jit in zip(rows, table[:, -1].tolist(), np.asarray(decays), strict=True):
        for decay in (ema_decay(*arguments, images), under_jit):
            assert decay == pytest.approx(beta, rel=1e-6)
            assert 1 - float(decay) == pytest.approx(1 - beta, rel=1e-2)
