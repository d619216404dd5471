"""The factors of a parametric face: nine of appearance and seven of structure, each in [-1, 1]."""

import jax
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
    """Sample the factors of n faces, independent and uniform in [-1, 1]."""
    return unstack(jax.random.uniform(key, (n, len(NAMES)), minval=-1.0, maxval=1.0))
