"""The One-Euro filter with the constants of the config."""

import numpy as np
import pytest

from disentangle_jax.configs import transfer
from disentangle_jax.reenactment.smoothing import OneEuro, smooth

CONSTANTS = OneEuro(**transfer.get_config().smooth)
FPS = 25.0
RNG = np.random.default_rng(0)


def jitter(codes):
    """The mean change from frame to frame."""
    return np.abs(np.diff(codes, axis=0)).mean()


@pytest.fixture(scope="module")
def noise():
    return RNG.normal(size=(200, 8)).astype(np.float32)


def test_a_trembling_face_at_rest_becomes_still(noise):
    noisy = 0.1 * noise
    smoothed = smooth(noisy, FPS, CONSTANTS)
    assert jitter(smoothed) < 0.3 * jitter(noisy)
    assert np.abs(smoothed[20:]).mean() < 0.6 * np.abs(noisy).mean()


def test_motion_is_followed_and_keeps_its_height(noise):
    seconds = np.arange(200, dtype=np.float32)[:, None] / FPS
    motion = np.sin(2 * np.pi * 0.5 * seconds) * np.ones((1, 8), np.float32)
    smoothed = smooth(motion + 0.1 * noise, FPS, CONSTANTS)
    assert jitter(smoothed) < 0.7 * jitter(motion + 0.1 * noise)
    assert np.ptp(smoothed.mean(axis=1)[50:]) > 0.85 * np.ptp(motion[50:, 0])
    lag = np.argmax([np.corrcoef(motion[50:190, 0], smoothed[50 + k : 190 + k, 0])[0, 1] for k in range(10)])
    assert lag <= 3, "frames, of 25 a second"


def test_a_step_is_followed_within_a_third_of_a_second():
    step = np.repeat(np.array([0, 3], np.float32), [25, 25])[:, None] * np.ones((1, 8), np.float32)
    smoothed = smooth(step, FPS, CONSTANTS)
    assert np.all(smoothed[:25] == 0)
    assert np.all(np.diff(smoothed[24:], axis=0) >= 0)
    assert smoothed[25 + 8, 0] > 0.9 * 3
    assert smoothed.max() <= 3


def test_a_constant_is_left_alone_and_a_high_cutoff_changes_nothing(noise):
    still = np.full((5, 3), 2.5, np.float32)
    assert np.array_equal(smooth(still, FPS, CONSTANTS), still)
    np.testing.assert_allclose(smooth(noise, FPS, OneEuro(1e6, 0.0)), noise, atol=1e-4)
