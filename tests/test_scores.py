import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.scores import in_batches, psnr, r2

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


@pytest.mark.parametrize("n", [1, 4, 5, 11])
def test_batches_are_of_one_size_and_give_back_what_went_in(n):
    sizes = set()

    def double(x, y):
        sizes.add((len(x), len(y)))
        return {"sum": x + y}

    x = np.arange(2.0 * n).reshape(n, 2)
    assert np.array_equal(in_batches(double, 4, x, 10 * x)["sum"], 11 * x)
    assert sizes == {(4, 4)}
