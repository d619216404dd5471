"""Other methods of transfer. Each is a function (source ws, driving ws) -> ws that treats every row by itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from disentangle_jax.directions import Directions
from disentangle_jax.directions.readout import Readout
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import Domain
from disentangle_jax.scorers import split

Latents = Float[Array, "n l d"]
Method = Callable[[Latents, Latents], Latents]


def copy_source(source_ws: Latents, driving_ws: Latents) -> Latents:
    """The source itself: its appearance is right, its structure is not."""
    return source_ws


def copy_driving(source_ws: Latents, driving_ws: Latents) -> Latents:
    """The driving itself: its structure is right, its appearance is not."""
    return driving_ws


def layer_swap(split: int) -> Method:
    """Style mixing: the layers below `split` are the driving's, the others the source's."""

    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return jnp.concatenate([driving_ws[:, :split], source_ws[:, split:]], axis=1)

    return method


def linear_transfer(directions: Directions) -> Method:
    """Move the source along the structure directions to the driving's coordinates."""

    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return directions.move(source_ws, directions.coordinates(driving_ws))

    return jax.jit(method)


def readout_search(directions: Directions, readout: Readout) -> Method:
    """What a readout finds from there on: the driving's structure and the source's appearance, as it reads them.

    Training clips were moved so, which makes it the teacher of a model that was trained on them.
    """
    linear = linear_transfer(directions)

    @jax.jit
    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return readout.move(source_ws, linear(source_ws, driving_ws), readout.read_structure(driving_ws))

    return method


def autoencoder(model: Disentangler) -> Method:
    """Decode the source's appearance code with the driving's structure code."""

    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return model.decode(model.encode(source_ws).appearance, model.encode(driving_ws).structure)

    return method


def oracle(domain: Domain) -> Method:
    """The latent that a search with the truth finds: a ceiling for methods that move latents."""

    @jax.jit
    def method(source_ws: Latents, driving_ws: Latents) -> Latents:
        return jax.vmap(domain.pose)(source_ws, split(domain.truth(driving_ws), domain).structure)

    return method
