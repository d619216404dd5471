"""The space of a generator's latents as its samples fill it: their mean, and coordinates in which they spread alike."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax.latents import sample_w_batches
from stylegan2_flax.frechet import FeatureStatistics

_SAMPLES = 10_000  # as many as NVIDIA's projector takes
_SEED = 0
_FLOOR = 0.05  # of the mean variance: without it, axes along which samples hardly differ would count for everything


class LatentSpace(NamedTuple):
    """Whitened coordinates v of a latent w: w = mean + v @ axes. The mean square of a sample's v is 1 on average.

    Attributes:
        mean: of w.
        axes: the principal axes of w, each scaled by the standard deviation along it.
        inverse: of `axes`.
    """

    mean: Float[Array, "d"]
    axes: Float[Array, "d d"]
    inverse: Float[Array, "d d"]

    @classmethod
    def of(cls, mapping: sg2.MappingNetwork) -> "LatentSpace":
        """Estimate the space from samples, always the same ones; of a conditional network, from all classes."""
        statistics = FeatureStatistics(mapping.w_dim)
        for batch in sample_w_batches(mapping, jax.random.key(_SEED), _SAMPLES, truncation_psi=1.0):
            statistics.add(batch)
        variances, axes = np.linalg.eigh(statistics.covariance)
        bounded = np.maximum(variances, _FLOOR * variances.mean())
        deviations = np.sqrt(bounded * np.mean(variances / bounded))[:, None]
        arrays = statistics.mean, deviations * axes.T, axes / deviations.T
        return cls(*(jnp.asarray(array, jnp.float32) for array in arrays))

    def whiten(self, ws: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """The coordinates of latents."""
        return jnp.matmul(ws - jnp.broadcast_to(self.mean, ws.shape), self.inverse, precision="highest")

    def unwhiten(self, v: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """The latents at these coordinates."""
        return jnp.matmul(v, self.axes, precision="highest") + jnp.broadcast_to(self.mean, v.shape)

    def deviations(self, ws: Float[Array | np.ndarray, "*n l d"]) -> Float[Array, "*n"]:
        """The distance of latents to the mean in standard deviations, over all layers: 1 is that of a usual sample."""
        return jnp.sqrt(jnp.mean(jnp.square(self.whiten(jnp.asarray(ws))), axis=(-2, -1)))
