"""Distances between two sets of images, computed from features [n, f] of a network.

    real, fake = FeatureStatistics(2048), FeatureStatistics(2048)
    real.add(features); ...          # in batches
    frechet_distance(real, fake)     # the FID, where the features are those of `inception`

A distance is larger for fewer images: compare distances of equal numbers of images only.
"""

import os
import zipfile
import zlib

import numpy as np
from jaxtyping import Array, Float, Float64

from stylegan2_flax.files import atomic, local_copy


class FeatureStatistics:
    """Count, mean and covariance of features, accumulated in float64 in one pass.

    Args:
        size: number of features f of an image.
    """

    def __init__(self, size: int):
        self.count = 0
        self.mean: Float64[np.ndarray, " f"] = np.zeros(size)
        self._scatter = np.zeros((size, size))  # sum of outer products of the deviations from the mean

    @property
    def size(self) -> int:
        """The number of features f of an image."""
        return len(self.mean)

    @property
    def covariance(self) -> Float64[np.ndarray, "f f"]:
        """The unbiased covariance. Raises ValueError if there are fewer than two samples."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, and there are {self.count}")
        return self._scatter / (self.count - 1)

    def add(self, features: Float[Array | np.ndarray, "n f"]) -> None:
        """Add the features of n images. Raises ValueError if their size differs, or if they are not finite."""
        values = np.asarray(features, np.float64)
        if values.shape[1] != self.size:
            raise ValueError(f"these statistics are of {self.size} features, got {values.shape[1]}")
        if not np.isfinite(values).all():
            raise ValueError("the features contain NaN or infinity")
        if len(values) == 0:
            return
        mean, total = values.mean(0), self.count + len(values)
        centred, step = values - mean, mean - self.mean
        # Chan et al. 1979: exact, and numerically stable.
        self._scatter = self._scatter + centred.T @ centred + np.outer(step, step) * (self.count * len(values) / total)
        self.mean = self.mean + step * (len(values) / total)
        self.count = total

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file with `mu`, `sigma` (the names that other FID programs use) and `count`."""
        arrays = {"mu": self.mean, "sigma": self.covariance, "count": np.asarray(self.count)}
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "FeatureStatistics":
        """Read a file that `save` wrote. Raises ValueError for other files."""
        try:
            with local_copy(path) as local, open(local, "rb") as file:  # np.load would leave a damaged file open
                arrays = np.load(file, allow_pickle=False)
                mean, covariance = (np.asarray(arrays[name], np.float64) for name in ("mu", "sigma"))
                count = int(arrays["count"])
        except KeyError as error:
            raise ValueError(f"{path} has no entry {error}: feature statistics hold mu, sigma and count") from None
        except (ValueError, TypeError, IndexError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} holds no feature statistics (.npz): {error}") from None
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or count < 2:
            raise ValueError(f"{path} must hold mu [f], sigma [f, f] and a count of at least 2")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise ValueError(f"{path} contains NaN or infinity")
        statistics = cls(len(mean))
        statistics.count, statistics.mean, statistics._scatter = count, mean, covariance * (count - 1)
        return statistics


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """The squared Fréchet distance of two Gaussians (Heusel et al. 2017, arXiv:1706.08500, equation 6).

    |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2)), A and B the covariances. With A = F F' and B = G G', the last
    trace is the sum of the singular values of F' G. The factors come from eigenvectors, so singular covariances (fewer
    samples than features) are allowed. Raises ValueError for different sizes or fewer than two samples.
    """
    if a.size != b.size:
        raise ValueError(f"the two sides have {a.size} and {b.size} features: use one network for both")
    shift = float(np.sum((a.mean - b.mean) ** 2))
    shared = np.linalg.svd(_factor(a.covariance).T @ _factor(b.covariance), compute_uv=False).sum()
    spread = float(np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared)
    return max(shift + spread, 0.0)  # rounding can make it negative


def _factor(covariance: Float64[np.ndarray, "f f"]) -> Float64[np.ndarray, "f f"]:
    """F with F F' = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    noise = values[-1] * len(values) * np.finfo(values.dtype).eps  # eigenvalues that are zero but for rounding
    return vectors * np.sqrt(np.where(values > noise, values, 0.0))
