"""The faces as a domain: what is known of the pictures of the bundled generator."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax import domains
from disentangle_jax.faces.factors import NAMES, STRUCTURE, Factors, unstack
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import Truth

_SATURATED = 1.0 - 1e-6  # in single precision the inverse of the error function is lost beyond


@dataclass(frozen=True, eq=False)
class ParametricFaces:
    """Implements `disentangle_jax.domains.Domain`."""

    known: Truth
    names: tuple[str, ...] = NAMES
    structure: tuple[str, ...] = STRUCTURE

    def truth(self, ws: Float[Array, "*n l d"]) -> Float[Array, "*n 16"]:
        """The factors that latents stand for."""
        return self.known(ws).stack()

    def render(self, factors: Float[Array, "n 16"], resolution: int) -> Float[Array, "n h w 3"]:
        """Exact pictures of factors."""
        return render(unstack(factors), resolution)

    def pose(self, ws: Float[Array, "l d"], structure: Float[Array | np.ndarray, "7"]) -> Float[Array, "l d"]:
        """The latent of the same appearance in another structure."""
        return pose_by_truth(self.known, ws, structure)


def pose_by_truth(
    truth: Truth, ws: Float[Array, "l d"], structure: Float[Array | np.ndarray, "7"]
) -> Float[Array, "l d"]:
    """Give a face another structure and change nothing else about it, by the smallest change of its latent.

    `domains.search` in whitened coordinates, for factors before their error function, where they are nearly linear.
    """
    wanted = _linear(Factors(truth(ws).appearance, structure))
    return domains.search(lambda ws: _linear(truth(ws)), ws, wanted, jnp.linalg.inv(truth.whiten))


def _linear(factors: Factors) -> Float[Array, "16"]:
    return jax.lax.erf_inv(jnp.clip(factors.stack(), -_SATURATED, _SATURATED))
