"""Scores of generated images: the Fréchet distance to real images in the features of a network, as in FID."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from stylegan2_flax import plugins
from stylegan2_flax.files import AnyPath
from stylegan2_flax.frechet import FeatureStatistics, frechet_distance
from stylegan2_flax.gan.data import Batches
from stylegan2_flax.run import parallel

Features = Callable[[Float[Array, "b h w c"]], Float[Array, "b f"]]
"""Images in [-1, 1] -> features. A pytree, so that its weights can be arguments of a jitted function."""


def open_features(name: str) -> Features:
    """Load the feature network `config.score.features`.

    Args:
        name: one that an installed package has registered, or inception:PATH.

    Raises:
        ValueError: there is no network of that name, or the file does not hold Inception's weights.
        FileNotFoundError: there is no such file.
    """
    if name.startswith("inception:"):
        from stylegan2_flax import inception

        return inception.load(name.removeprefix("inception:"))
    factory = plugins.find_factory(plugins.FEATURES, name)
    if factory is None:
        raise ValueError(
            f"unknown score.features {name!r}: it is neither inception:PATH of your copy of the weights, nor "
            f"registered by an installed package ({plugins.registered_names(plugins.FEATURES)}), nor empty for no score"
        )
    return factory()


def opaque(images: Float[Array, "b h w c"]) -> Float[Array, "b h w _"]:
    """Compose images with an alpha channel onto white, since feature networks take RGB. Others are left unchanged."""
    if images.shape[-1] != 4:
        return images
    alpha = jnp.clip((images[..., 3:] + 1.0) / 2.0, 0.0, 1.0)
    return alpha * images[..., :3] + (1.0 - alpha)


class Scorer:
    """Computes the Fréchet distance between generated and real images.

    Args:
        config: `config.score`: `num_samples` images of each kind, in batches of `batch_size`.
        features: the feature network.
        reals: opens the batches of real images. Not called if `path` exists.
        path: file of the real images' statistics, an .npz of `FeatureStatistics`. Process 0 writes it if it is missing.
        mesh: the devices.
    """

    def __init__(self, config: ConfigDict, features: Features, reals: Callable[[], Batches], path: AnyPath, mesh: Mesh):
        replicated = parallel.replicated(mesh)
        self._num_batches = config.num_samples // config.batch_size
        self._features = jax.device_put(features, replicated)
        self._extract = jax.jit(lambda features, images: features(opaque(images)), out_shardings=replicated)
        if path.exists():
            self._real = FeatureStatistics.load(path)
        else:
            self._real = self._statistics(reals())
            if jax.process_index() == 0:
                self._real.save(path)

    def __call__(self, fakes: Batches) -> float:
        """The distance, 0 for equal statistics. It depends on num_samples: compare scores of equal num_samples only."""
        return frechet_distance(self._statistics(fakes), self._real)

    def _statistics(self, batches: Batches) -> FeatureStatistics:
        statistics: Any = None
        for index in range(self._num_batches):
            features = jax.device_get(self._extract(self._features, batches(index)))
            statistics = FeatureStatistics(features.shape[1]) if statistics is None else statistics
            statistics.add(features)
        return statistics
