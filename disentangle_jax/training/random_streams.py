"""The random keys of a run."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Key


class RandomStreams(NamedTuple):
    """Independent random keys for the parts of a run."""

    init: Key[Array, ""]
    clips: Key[Array, ""]


def random_streams(seed: int) -> RandomStreams:
    """Split the key of a seed. Clip i of a run is sampled with fold_in(clips, i)."""
    return RandomStreams(*jax.random.split(jax.random.key(seed)))
