"""Feature statistics and the distances made of them, against closed forms and scipy's matrix root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from stylegan2_flax.frechet import FeatureStatistics, frechet_distance


def statistics(*batches):
    result = FeatureStatistics(batches[0].shape[1])
    for batch in batches:
        result.add(batch)
    return result


def exact(mean, factor):
    """Samples whose mean and covariance are exactly `mean` and factor factor'."""
    size = len(mean)
    centred = np.concatenate([np.eye(size), -np.eye(size)]) * np.sqrt((2 * size - 1) / 2)
    return statistics(centred @ np.asarray(factor).T + mean)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_batches_count_as_one(rng):
    features = rng.normal(1e4, 1, (50, 6))  # far from zero: a sum of squares in float32 would be lost
    result = statistics(features[:7], features[7:8], features[8:8], features[8:])
    assert result.count == 50
    np.testing.assert_allclose(result.mean, features.mean(0), rtol=1e-14)
    np.testing.assert_allclose(result.covariance, np.cov(features.T), rtol=1e-9, atol=1e-12)


def test_commuting_covariances_have_a_closed_form(rng):
    axes, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    means, spreads = rng.normal(size=(2, 5)), rng.uniform(0, 3, (2, 5))
    spreads[0, :2] = spreads[1, 1:3] = 0  # singular, in directions of their own
    a, b = (exact(mean, axes * spread) for mean, spread in zip(means, spreads, strict=True))
    expected = np.sum((means[0] - means[1]) ** 2) + np.sum((spreads[0] - spreads[1]) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-12)


def test_general_covariances_agree_with_the_matrix_root(rng):
    a, b = (statistics(rng.normal(size=(40, 8)) @ rng.normal(size=(8, 8))) for _ in range(2))
    root = np.trace(sqrtm(a.covariance @ b.covariance)).real
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_nothing_is_nearer_than_itself(rng):
    few = statistics(rng.normal(size=(5, 30)))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-10)


def test_statistics_survive_a_file(tmp_path, rng):
    before = statistics(rng.normal(size=(9, 4)).astype(np.float32))
    before.save(tmp_path / "real.npz")
    after = FeatureStatistics.load(tmp_path / "real.npz")
    assert after.count == 9
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_allclose(after.covariance, before.covariance, rtol=1e-15)
    assert [path.name for path in tmp_path.iterdir()] == ["real.npz"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(2), "sigma": np.eye(2)}, "no entry 'count"),
        ({"mu": np.zeros(2), "sigma": np.eye(3), "count": 5}, "must hold mu"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "count": 1}, "at least 2"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2), "count": 5}, "NaN"),
        ({"mu": np.array([{}], object), "sigma": np.eye(1), "count": 5}, "no feature statistics"),
    ],
)
def test_files_of_other_things_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        FeatureStatistics.load(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"plain text", b"\x93NUMPY"])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="no feature statistics"):
        FeatureStatistics.load(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        FeatureStatistics.load(tmp_path / "b.npz")


def test_an_array_alone_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(ValueError, match="no feature statistics"):
        FeatureStatistics.load(tmp_path / "a.npy")


def test_what_cannot_be_measured_is_refused():
    four, five = statistics(np.zeros((3, 4))), statistics(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="4 and 5 features"):
        frechet_distance(four, five)
    with pytest.raises(ValueError, match="of 4 features, got 5"):
        four.add(np.zeros((1, 5)))
    with pytest.raises(ValueError, match="at least 2 samples, and there are 1"):
        frechet_distance(statistics(np.zeros((1, 4))), four)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinity"):
            four.add(np.full((1, 4), bad))
