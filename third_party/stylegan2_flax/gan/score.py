"""A score for generated images: the Fréchet distance to real ones in the features of a network, as in the FID."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from stylegan2_flax import plugins
from stylegan2_flax.frechet import FeatureStatistics, frechet_distance
from stylegan2_flax.gan.data import Batches
from stylegan2_flax.run import devices as parallel

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


def opaque(images: Float[Array, "b h w c"]) -> Float[Array, "b h w _"]:
    """Images with an alpha channel on white, as features are of colours; others as they are."""
    if images.shape[-1] != 4:
        return images
    alpha = jnp.clip((images[..., 3:] + 1.0) / 2.0, 0.0, 1.0)
    return alpha * images[..., :3] + (1.0 - alpha)


class Scorer:
    """Scores batches of generated images against `reals`, whose statistics it keeps in a file.

    Args:
        config: `score` of the experiment: num_samples of each side, in batches of batch_size.
        features: what the images are compared by.
        reals: opens batches of real images; not called where the file is there already.
        path: of the file, an .npz as `FeatureStatistics` writes it; of several processes the first writes it.
        mesh: the devices.
    """

    def __init__(self, config: ConfigDict, features: Features, reals: Callable[[], Batches], path: Path, mesh: Mesh):
        replicated = parallel.replicated(mesh)
        self._batches, self._features = config.num_samples // config.batch_size, jax.device_put(features, replicated)
        self._measure = jax.jit(lambda features, images: features(opaque(images)), out_shardings=replicated)
        if path.exists():
            self._real = FeatureStatistics.load(path)
        else:
            self._real = self._statistics(reals())
            if jax.process_index() == 0:
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
