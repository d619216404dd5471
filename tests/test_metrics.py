import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from disentangle_jax.metrics import l1, psnr, r2, ssim

RNG = np.random.default_rng(0)


def test_r2_of_known_predictions():
    target = RNG.normal(size=(4000, 2))
    assert np.allclose(r2(target, target), 1)
    assert np.allclose(r2(np.tile(target.mean(0), (4000, 1)), target), 0)
    assert np.allclose(r2(target[::-1], target), -1, atol=0.15)  # independent draws of one distribution
    assert np.allclose(r2(-target, target), -3, atol=1e-2)  # a squared correlation would say 1
    assert np.allclose(r2(target + target.std(0), target), 0)  # and here too


def test_r2_needs_targets_that_vary():
    with pytest.raises(ValueError, match="column 1 of 2 is constant"):
        r2(np.zeros((5, 2)), np.stack([np.arange(5.0), np.ones(5)], axis=1))


def test_psnr_of_a_known_error():
    images = jnp.zeros((2, 4, 4, 3))
    assert np.allclose(psnr(images, images + jnp.float32(0.2)), 20.0, atol=1e-4)


def test_l1_and_ssim_are_those_of_the_literature():
    smooth = np.kron(RNG.normal(size=(2, 4, 5, 3)), np.ones((1, 5, 5, 1))).clip(-1, 1).astype(np.float32)
    noisy = (smooth + 0.3 * RNG.normal(size=smooth.shape)).clip(-1, 1).astype(np.float32)
    options = {"channel_axis": -1, "data_range": 2.0, "gaussian_weights": True, "use_sample_covariance": False}
    known = [structural_similarity(*pair, **options) for pair in zip(smooth, noisy, strict=True)]
    images, truth = jnp.asarray(noisy), jnp.asarray(smooth)
    np.testing.assert_allclose(ssim(images, truth), known, atol=2e-4)
    np.testing.assert_allclose(ssim(truth, truth), 1, atol=1e-5)
    np.testing.assert_allclose(l1(images, truth), np.abs(smooth - noisy).mean((1, 2, 3)) / 2, rtol=1e-4)
    with pytest.raises(ValueError, match="at least 11 pixels a side"):
        ssim(jnp.zeros((1, 10, 20, 3)), jnp.zeros((1, 10, 20, 3)))
