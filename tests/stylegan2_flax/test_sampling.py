"""Pictures of seeds, whatever they are drawn beside, and the loops through latents."""

from typing import Any

import jax
import numpy as np
import pytest

import stylegan2_flax as sg2
from stylegan2_flax.media import to_uint8
from stylegan2_flax.sampling import Sampler, loop_slerp, loop_spline


@pytest.fixture(scope="module")
def build(untrained):
    def build(c_dim=0):
        sizes: dict[str, Any] = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_max": 8}}
        network = untrained(lambda rngs: sg2.Generator(8, c_dim, 12, 8, **sizes, rngs=rngs))
        changes = {"mapping.w_avg": np.full(12, 0.3)}
        changes |= {f"synthesis.{name}.conv1.noise_strength": np.asarray(0.5) for name in ("b4", "b8")}
        return sg2.from_state_dict(sg2.to_state_dict(network) | changes, **network.init_kwargs)

    return build


@pytest.fixture(scope="module")
def generator(build):
    return build()


def draw(sampler, seeds):
    return np.stack(list(sampler.images(sampler.ws(sampler.z(seeds)), seeds)))


@pytest.mark.parametrize("noise_mode", ["const", "none", "random"])
def test_a_seed_gives_its_picture_in_every_company(generator, noise_mode):
    sampler = Sampler(generator, noise_mode=noise_mode)
    together, others = draw(sampler, [3, 0, 4_000_000_000, 7, 1]), draw(sampler, [7, 1, 3, 8, 9])
    assert together.shape == (5, 8, 8, 3)
    assert np.abs(others[:3].astype(int) - together[[3, 4, 0]]).max() <= 1  # rounding
    if noise_mode == "random":
        in_twos = draw(Sampler(generator, noise_mode=noise_mode, batch=2), [7, 1, 3, 8, 9])
        assert np.abs(in_twos.astype(int) - others).max() <= 1
    assert len(np.unique(together.reshape(5, -1), axis=0)) == 5


def test_pictures_are_those_of_the_generator(generator):
    sampler, seeds = Sampler(generator, psi=0.4, cutoff=3, noise_mode="none"), [5, 1, 2, 3, 4]
    z = np.stack([jax.random.normal(jax.random.key(seed), (8,)) for seed in seeds])
    expected = jax.jit(lambda z: generator(z, None, 0.4, 3, "none"))(z)
    assert np.abs(draw(sampler, seeds).astype(int) - to_uint8(expected)).max() <= 1


def test_random_noise_is_the_seeds_own(generator):
    sampler = Sampler(generator, noise_mode="random")
    ws = np.repeat(sampler.ws(sampler.z(range(5)))[:1], 5, axis=0)
    first, same, other, *_ = sampler.images(ws, [1, 1, 2, 3, 4])
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_numpy_seeds_are_those_of_published_pictures(generator):
    # The first normal numbers of numpy's RandomState(0), as known to everyone who has ever printed them.
    known = [1.76405235, 0.40015721, 0.97873798, 2.2408932, 1.86755799, -0.97727788, 0.95008842, -0.15135721]
    z = Sampler(generator, numpy_seeds=True).z([0, 2**32 - 1])
    np.testing.assert_allclose(z[0], known, rtol=1e-7)
    assert not np.allclose(z, Sampler(generator).z([0, 2**32 - 1]))


def test_a_label_draws_its_class(build):
    conditional = build(c_dim=3)
    ws = Sampler(conditional, label=2).ws(np.ones((2, 8), np.float32))
    expected = conditional.mapping(np.ones((2, 8), np.float32), np.asarray([[0, 0, 1]] * 2, np.float32))
    np.testing.assert_array_equal(ws, expected)
    with pytest.raises(ValueError, match="choose a class from 0 to 2"):
        Sampler(conditional)
    with pytest.raises(ValueError, match="has the classes 0 to 2; got class 3"):
        Sampler(conditional, label=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": 0}, "has no classes; got class 0"),
        ({"cutoff": 5}, "has 4 layers; got a truncation cutoff of 5"),
        ({"cutoff": -1}, "has 4 layers"),
        ({"batch": 0}, "batch must be at least 1"),
    ],
)
def test_what_the_generator_lacks_is_refused(generator, options, message):
    with pytest.raises(ValueError, match=message):
        Sampler(generator, **options)


def test_the_spline_is_smooth_all_round():
    keys = np.random.default_rng(0).normal(size=(5, 3, 2))
    frames = 200
    way = loop_spline(keys, frames)
    assert way.shape == (1000, 3, 2)
    np.testing.assert_allclose(way[::frames], keys, atol=1e-12)
    velocity = (np.roll(way, -1, axis=0) - way) * frames
    acceleration = (np.roll(velocity, -1, axis=0) - velocity) * frames
    assert np.abs(np.roll(velocity, -1, axis=0) - velocity).max() < 0.2  # a corner would jump by the size of the keys
    assert np.abs(np.roll(acceleration, -1, axis=0) - acceleration).max() < 0.5


def test_the_spline_of_a_circle_is_nearly_one():
    angle = 2 * np.pi * np.arange(16) / 16
    way = loop_spline(np.stack([np.cos(angle), np.sin(angle)], axis=1), 10)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 1, atol=2e-4)


def test_two_keys_make_a_loop():
    way = loop_spline(np.asarray([[0.0], [1.0]]), 4)[:, 0]
    assert way[[0, 4]].tolist() == [0, 1]
    np.testing.assert_allclose(way[1:4], way[:4:-1])
    np.testing.assert_allclose(way[2], 0.5)


def test_slerp_keeps_to_the_sphere_at_even_speed():
    way = loop_slerp(np.asarray([[2.0, 0, 0], [0, 3, 0], [0, 3, 0]]), 3)
    half = np.sqrt(3) / 2
    directions = [[1, 0, 0], [half, 0.5, 0], [0.5, half, 0], *[[0, 1, 0]] * 4, [0.5, half, 0], [half, 0.5, 0]]
    lengths = [2, 7 / 3, 8 / 3, 3, 3, 3, 3, 8 / 3, 7 / 3]
    np.testing.assert_allclose(way, np.asarray(directions) * np.asarray(lengths)[:, None], atol=1e-12)
