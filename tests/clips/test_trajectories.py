"""Trajectories against their own statistics: mean 0 and variance 1 at every time, and what sets each family apart."""

from functools import cache

import jax
import numpy as np
import pytest

from disentangle_jax.clips import trajectories

T, TAU = 12, 5.0


@pytest.fixture(scope="module", params=sorted(trajectories.FAMILIES))
def family(request):
    return request.param


@pytest.fixture(scope="module")
def paths(family):
    return draw(family, T, 2, TAU)


@cache
def draw(family, t, k, tau):
    keys = jax.random.split(jax.random.key(0), 10000)
    return np.asarray(jax.jit(jax.vmap(lambda key: trajectories.FAMILIES[family](key, t, k, tau)))(keys))


def test_mean_is_zero_and_variance_one_at_every_time(paths):
    np.testing.assert_allclose(paths.mean((0, 2)), 0.0, atol=0.05)
    np.testing.assert_allclose(paths.std((0, 2)), 1.0, atol=0.04)


def test_motion_is_smooth_unless_each_frame_stands_alone(family, paths):
    steps = np.abs(np.diff(paths, axis=1)).mean()
    assert steps == pytest.approx(2 / np.sqrt(np.pi), abs=0.02) if family == "iid" else steps < 0.75


def test_directions_move_apart_from_each_other(paths):
    assert abs((paths[..., 0] * paths[..., 1]).mean()) < 0.05


def test_longer_tau_slows_the_motion(family):
    fast, slow = (np.abs(np.diff(draw(family, T, 2, tau), axis=1)).mean() for tau in (TAU, 4 * TAU))
    assert slow == fast if family == "iid" else slow < 0.75 * fast


def test_random_walks_stay_within_their_bound():
    assert np.abs(draw("random_walk", T, 2, TAU)).max() <= np.sqrt(3.0) + 1e-5


@pytest.mark.parametrize("family", ["ornstein_uhlenbeck", "random_walk"])
def test_autocorrelation_decays_exponentially(family):
    paths = draw(family, T, 2, TAU)
    correlation = (paths[:, :1] * paths).mean((0, 2))
    np.testing.assert_allclose(correlation, np.exp(-np.arange(T) / TAU), atol=0.03)


def test_splines_pass_their_keyframes_and_keep_their_slope_there():
    keyframes = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    fine = 0.01
    times = np.arange(0.0, 4.0, fine)
    curve = np.asarray(jax.jit(lambda keyframes: trajectories.through(keyframes, times))(keyframes))
    np.testing.assert_allclose(curve[:: round(1 / fine)], keyframes[1:5], atol=1e-5)
    slope = np.diff(curve, axis=0) / fine
    assert np.abs(np.diff(slope, axis=0)).max() < 0.4  # a polygon's slope would jump by more than 1 at its corners
    polygon = np.diff(np.asarray(keyframes[1:6]), axis=0)
    assert np.abs(np.diff(polygon, axis=0)).max() > 1.0


def test_pulses_rest_most_of_the_time_and_go_to_either_side():
    paths = draw("pulses", 64, 1, 8.0)[..., 0]
    values, counts = np.unique(paths.round(4), return_counts=True)
    resting = np.abs(np.abs(paths) - np.abs(values[counts.argmax()])) < 1e-3
    assert 0.65 < resting.mean() < 0.8
    peaks = paths[np.arange(len(paths)), np.abs(paths).argmax(1)]
    assert 0.4 < (peaks > 0).mean() < 0.6
    assert np.median(np.abs(peaks)) > 1.9


def test_mixtures_draw_a_family_for_every_direction():
    keys = jax.random.split(jax.random.key(3), 10000)
    mixture = jax.jit(jax.vmap(lambda key: trajectories.mixture(key, T, 2, ("iid", "spline"), 4 * TAU)))
    steps = np.abs(np.diff(mixture(keys), axis=1)).mean(1)
    restless = steps > 0.5
    assert 0.4 < float(restless.mean()) < 0.6
    assert 0.4 < float((restless[:, 0] != restless[:, 1]).mean()) < 0.6


def test_unknown_trajectories_are_refused():
    with pytest.raises(ValueError, match="unknown trajectory teleport: choose from sinusoid, random_walk"):
        trajectories.mixture(jax.random.key(0), 8, 2, ("sinusoid", "teleport"), TAU)


def test_families_may_be_given_as_one_text():
    assert trajectories.checked_families("sinusoid, spline") == ("sinusoid", "spline")
    with pytest.raises(ValueError, match=r"clips\.trajectories is empty: choose from sinusoid"):
        trajectories.checked_families("")
    with pytest.raises(ValueError, match="unknown trajectory teleport"):
        trajectories.checked_families("sinusoid,teleport")
