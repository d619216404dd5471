"""A score for generated images: the Fréchet distance to real ones in the features of a network, as in the FID."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from stylegan2_flax import plugins
from stylegan2_flax.frechet import FeatureStatistics, frechet_distance
from stylegan2_flax.gan.data import Batches

Features = Callable[[Float[Array, "b h w c"]], Float[Array, "b f"]]
"""Images in [-1, 1] -> features; also a pytree, so that its weights are arguments of a jitted function."""


def open_features(name: str) -> Features:
    """The network of `config.score.features`: one that an installed package offers, or inception:PATH.

    Raises:
        ValueError: there is none of that name, or the file holds other weights.
        FileNotFoundError: there is no such file.
    """
    if name.startswith("inception:"):
        from stylegan2_flax import inception

        return inception.load(name.removeprefix("inception:"))
    factory = plugins.find(plugins.FEATURES, name)
    if factory is None:
        raise ValueError(
            f"unknown score.features {name!r}: it is neither inception:PATH of your copy of the weights, "
            f"nor offered by an installed package ({plugins.offered(plugins.FEATURES)}), nor empty for no score"
        )
    return factory()


class Scorer:
    """Scores batches of generated images against `reals`, whose statistics it keeps in a file.

    Args:
        config: `score` of the experiment: num_samples of each side, in batches of batch_size.
        features: what the images are compared by.
        reals: opens batches of real images; not called where the file is there already.
        path: of the file, an .npz as `FeatureStatistics` writes it.
    """

    def __init__(self, config: ConfigDict, features: Features, reals: Callable[[], Batches], path: Path):
        self._batches, self._features = config.num_samples // config.batch_size, features
        self._measure = jax.jit(lambda features, images: features(images))
        if path.exists():
            self._real = FeatureStatistics.load(path)
        else:
            self._real = self._statistics(reals())
            self._real.save(path)

    def __call__(self, fakes: Batches) -> float:
        """The distance: 0 for equal statistics. It falls with more samples, so compare scores of equal num_samples."""
        return frechet_distance(self._statistics(fakes), self._real)

    def _statistics(self, batches: Batches) -> FeatureStatistics:
        statistics: Any = None
        for index in range(self._batches):
            features = jax.device_get(self._measure(self._features, batches(index)))
            statistics = FeatureStatistics(features.shape[1]) if statistics is None else statistics
            statistics.add(features)
        return statistics
