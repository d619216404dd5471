"""The losses against the goldens, with the gradients that they send to every parameter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from stylegan2_flax.losses import (
    discriminator_loss,
    generator_loss,
    mix_styles,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)

slow = pytest.mark.slow  # the smaller networks in every run, all of them on demand


def nhwc(images):
    return jnp.asarray(images.transpose(0, 2, 3, 1))


def gradients(network, loss):
    """loss(network) -> (number, more): both, and the norm of the number's gradient to each parameter by its name."""
    graphdef, params, buffers = nnx.split(network, nnx.Param, ...)

    def of_params(params):
        return loss(nnx.merge(graphdef, params, buffers))

    (value, more), slopes = jax.jit(jax.value_and_grad(of_params, has_aux=True))(params)
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(slopes))
    norms = {jax.tree_util.keystr(path, simple=True, separator="."): np.linalg.norm(leaf) for path, leaf in leaves}
    return value, more, norms


def assert_norms(norms, data, prefix):
    expected = {key.removeprefix(prefix): float(data[key]) for key in data if key.startswith(prefix)}
    assert norms.keys() == expected.keys() != set()
    scale = max(expected.values())
    for name, norm in norms.items():  # some are zero but for rounding
        assert norm == pytest.approx(expected[name], rel=1e-4, abs=1e-7 * scale), name


@pytest.mark.parametrize("name", [pytest.param("G_a", marks=slow), "G_b_cond"])
def test_path_lengths(name, golden, generator, relative_error):
    data = golden(name)
    noise, old_mean = nhwc(data["in/pl_noise_raw"]), jnp.asarray(data["in/pl_mean_old"])

    def loss(g):
        ws = g.mapping(data["in/z"][:2], data["in/c"][:2])
        penalty, mean = path_length_penalty(g.synthesis, ws, noise, old_mean)
        (slopes,) = jax.vjp(g.synthesis, ws)[1](noise / np.sqrt(noise[0, :, :, 0].size, dtype=np.float32))
        return jnp.mean(2 * penalty), (penalty, mean, slopes)

    value, (penalty, mean, slopes), norms = gradients(generator(name), loss)
    lengths = mean + jnp.sqrt(penalty)  # these are longer than the mean
    for key, result in {"loss": value, "penalty": penalty, "mean_new": mean, "lengths": lengths}.items():
        assert relative_error(result, data[f"out/pl_{key}"]) < 1e-5, key
    assert relative_error(slopes, data["out/pl_grads"]) < 1e-4
    assert_norms(norms, data, "out/pl_paramgradnorm/")


@pytest.mark.parametrize(
    ("name", "opponent", "pair"),
    [pytest.param("G_a", "D_c", "a", marks=slow), ("G_b_cond", "D_d_cond", "b_cond")],
)
def test_generator_loss(name, opponent, pair, golden, generator, discriminator, relative_error):
    data = golden(name)
    d = discriminator(opponent)

    def loss(g):
        logits = d(g.synthesis(g.mapping(data["in/z"], data["in/c"])), data["in/c"])
        return generator_loss(logits), logits

    value, logits, norms = gradients(generator(name), loss)
    prefix = f"out/with_D_{pair}/gmain"
    assert relative_error(value, data[f"{prefix}_loss"]) < 1e-5
    assert relative_error(logits, data[f"{prefix}_logits"]) < 1e-5
    assert_norms(norms, data, f"{prefix}_paramgradnorm/")


@pytest.mark.parametrize("name", [pytest.param("D_c", marks=slow), "D_d_cond"])
def test_discriminator_loss(name, golden, discriminator, relative_error):
    data = golden(name)
    first, last = data["in/r1_rows"]
    real, fake, c = nhwc(data["in/img"][first:last]), nhwc(data["in/fake"]), data["in/c"][first:last]

    def loss(d):
        real_logits, fake_logits = d(real, c), d(fake, c)
        return discriminator_loss(real_logits, fake_logits), (real_logits, fake_logits)

    value, (real_logits, fake_logits), norms = gradients(discriminator(name), loss)
    for key, result in {"loss": value, "logits_real": real_logits, "logits_fake": fake_logits}.items():
        assert relative_error(result, data[f"out/dmain_{key}"]) < 1e-5, key
    assert_norms(norms, data, "out/dmain_paramgradnorm/")


@pytest.mark.parametrize("name", [pytest.param("D_c", marks=slow), "D_d_cond"])
def test_r1(name, golden, discriminator, relative_error):
    data = golden(name)
    first, last = data["in/r1_rows"]
    images, c = nhwc(data["in/img"][first:last]), data["in/c"][first:last]
    gamma = float(data["in/r1_gamma"])

    def loss(d):
        penalty = r1_penalty(lambda x: d(x, c), images)
        return jnp.mean(gamma / 2 * penalty), (penalty, jax.grad(lambda x: jnp.sum(d(x, c)))(images))

    value, (penalty, slopes), norms = gradients(discriminator(name), loss)
    assert relative_error(value, data["out/r1_loss"]) < 1e-5
    assert relative_error(penalty, data["out/r1_penalty"]) < 1e-5
    assert relative_error(slopes[:2].transpose(0, 3, 1, 2), data["out/r1_grads"]) < 1e-4
    assert_norms(norms, data, "out/r1_paramgradnorm/")


def test_the_mean_of_path_lengths():
    """Of a linear synthesis, whose lengths are |A^T y|; the mean starts at 0 and moves by a hundredth."""
    rng = np.random.default_rng(0)
    noise, matrix = (rng.standard_normal(shape, np.float32) for shape in ((3, 4, 4, 1), (6, 16)))

    def synthesize(ws):
        return (ws.reshape(3, 6) @ matrix).reshape(3, 4, 4, 1)

    expected = np.linalg.norm(noise.reshape(3, 16) / 4 @ matrix.T, axis=1) / 2**0.5  # a mean over two layers
    ws = np.zeros((3, 2, 3), np.float32)

    @jax.jit
    def results(ws, noise):
        penalties = path_length_penalty(synthesize, ws, noise, jnp.float32(0))
        further = path_length_penalty(synthesize, ws, noise, jnp.float32(3), decay=0.25)
        return path_lengths(synthesize, ws, noise), penalties, further

    lengths, (penalty, mean), (_, later_mean) = results(ws, noise)
    np.testing.assert_allclose(lengths, expected, rtol=1e-5)
    assert float(mean) == pytest.approx(0.01 * float(expected.mean()), rel=1e-5)
    np.testing.assert_allclose(penalty, np.square(expected - mean), rtol=1e-5)
    assert float(later_mean) == pytest.approx(0.75 * 3 + 0.25 * float(expected.mean()), rel=1e-5)


@pytest.mark.parametrize(("num_ws", "probability"), [(6, 0.9), (6, 0.0), (2, 1.0)])
def test_style_mixing(num_ws, probability):
    """One cut for the whole batch, as often as asked for, at every place between two layers alike."""
    ws, other = jnp.zeros((3, num_ws, 2)), jnp.ones((3, num_ws, 2))
    keys = jax.random.split(jax.random.key(0), 4000)
    mixed = np.asarray(jax.jit(jax.vmap(lambda key: mix_styles(key, ws, other, probability)))(keys))
    np.testing.assert_array_equal(mixed, np.broadcast_to(mixed[:, :1, :, :1], mixed.shape))
    layers = mixed[:, 0, :, 0]
    assert (np.diff(layers, axis=1) >= 0).all()
    cuts = np.bincount((layers == 0).sum(axis=1).astype(int), minlength=num_ws + 1) / 4000
    expected = [0.0] + [probability / (num_ws - 1)] * (num_ws - 1) + [1 - probability]
    np.testing.assert_allclose(cuts, expected, atol=0.02 if 0 < probability < 1 else 0)
