"""The domain of the bundled generator: parametric faces."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax import domains
from disentangle_jax.faces.factors import NAMES, STRUCTURE, Factors, unstack
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import Truth

_SATURATED = 1.0 - 1e-6  # beyond it, the inverse of the error function is inaccurate in float32


@dataclass(frozen=True, eq=False)
class ParametricFaces:
    """A `disentangle_jax.domains.Domain`.

    Attributes:
        known: the truth of the generator's latents.
        names, structure: names of all factors, and of the structure factors.
    """

    known: Truth
    names: tuple[str, ...] = NAMES
    structure: tuple[str, ...] = STRUCTURE

    def truth(self, ws: Float[Array, "*n l d"]) -> Float[Array, "*n 16"]:
        """The factors that latents stand for."""
        return self.known(ws).stack()

    def render(self, factors: Float[Array, "n 16"], resolution: int) -> Float[Array, "n h w 3"]:
        """Exact images of factors."""
        return render(unstack(factors), resolution)

    def pose(self, ws: Float[Array, "l d"], structure: Float[Array | np.ndarray, "7"]) -> Float[Array, "l d"]:
        """The latent with another structure and the same appearance."""
        return pose_by_truth(self.known, ws, structure)


def pose_by_truth(
    truth: Truth, ws: Float[Array, "l d"], structure: Float[Array | np.ndarray, "7"]
) -> Float[Array, "l d"]:
    """Give a face another structure and the same appearance, by the smallest change of its latent.

    Uses `domains.search` in whitened coordinates, for factors without the error function, which are nearly linear.
    """
    wanted = _linearized(Factors(truth(ws).appearance, structure))
    return domains.search(lambda ws: _linearized(truth(ws)), ws, wanted, jnp.linalg.inv(truth.whiten))


def _linearized(factors: Factors) -> Float[Array, "16"]:
    return jax.lax.erf_inv(jnp.clip(factors.stack(), -_SATURATED, _SATURATED))
