"""Other ways to put one face's structure on another. Each is a method (source ws, driving ws) -> ws, row by row."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from disentangle_jax.directions import Directions
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import Domain
from disentangle_jax.scorers import split

Latents = Float[Array, "n l d"]
Method = Callable[[Latents, Latents], Latents]


def copy_source(source_ws: Latents, driving_ws: Latents) -> Latents:
    """No transfer at all: the source as it was. Its appearance is right, its structure is not."""
    return source_ws


def copy_driving(source_ws: Latents, driving_ws: Latents) -> Latents:
    """The driving picture itself. Its structure is right, its appearance is not."""
    return driving_ws


def layer_swap(split: int) -> Method:
    """Style mixing: the layers below `split` from the driving, the others from the source."""

    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return jnp.concatenate([driving_ws[:, :split], source_ws[:, split:]], axis=1)

    return method


def linear_transfer(directions: Directions) -> Method:
    """Move the source along the structure directions until its coordinates there are the driving's."""

    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return directions.move(source_ws, directions.coordinates(driving_ws))

    return jax.jit(method)


def autoencoder(model: Disentangler) -> Method:
    """Decode the source's appearance code with the driving's structure code."""

    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return model.decode(model.encode(source_ws).appearance, model.encode(driving_ws).structure)

    return method


def oracle(domain: Domain) -> Method:
    """The latent that a search by the truth itself finds: how well any method could do that moves latents."""

    @jax.jit
    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return jax.vmap(domain.pose)(source_ws, split(domain.truth(driving_ws), domain).structure)

    return method
