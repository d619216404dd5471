"""What a parametric face is made of: nine factors of appearance, seven of structure, each in [-1, 1]."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from disentangle_jax.scorers import Factors

APPEARANCE = (
    "skin",  # pale .. dark
    "hair_color",  # black, brown, red, blond, silver
    "hair_length",  # ears .. shoulders
    "face_width",  # narrow .. broad
    "eye_size",  # small .. large
    "brow_thickness",  # thin .. bushy
    "lip_color",  # natural, red, plum
    "clothing",  # navy, teal, green, yellow, red, purple
    "background",  # sand, green, sky, lilac, pink
)
STRUCTURE = (
    "yaw",  # turned to the picture's left .. right, +-0.42 rad
    "pitch",  # looking down .. up, +-0.28 rad
    "roll",  # tilted clockwise .. counter-clockwise, +-0.20 rad
    "smile",  # mouth corners down .. up
    "mouth_open",  # closed .. wide open
    "eye_open",  # shut .. wide open
    "brow_raise",  # lowered .. raised
)


NAMES = APPEARANCE + STRUCTURE


def unstack(values: Float[Array, "... 16"]) -> Factors:
    """The inverse of `Factors.stack`."""
    return Factors(values[..., : len(APPEARANCE)], values[..., len(APPEARANCE) :])


def sample(key: PRNGKeyArray, n: int) -> Factors:
    """n faces with every factor uniform in [-1, 1] and independent of the others."""
    return unstack(jax.random.uniform(key, (n, len(NAMES)), minval=-1.0, maxval=1.0))


def check(factors: Factors) -> None:
    """Raise ValueError if a concrete factor is not finite or lies outside [-1, 1], naming the first such factor.

    The renderer itself clips: a trajectory that overshoots draws the extreme face. Call this where values come from
    people.
    """
    values = jnp.asarray(factors.stack())
    for name, column in zip(NAMES, jnp.moveaxis(values, -1, 0), strict=True):
        if not bool(jnp.all(jnp.abs(column) <= 1.0)):
            raise ValueError(
                f"factor {name!r} must lie in [-1, 1]; got {float(column.reshape(-1)[jnp.argmax(jnp.abs(column))])}"
            )
