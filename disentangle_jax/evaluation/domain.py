"""What is known of a generator's pictures. Of the bundled faces everything is; of any other generator, nothing."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from disentangle_jax import faces
from disentangle_jax.faces import Factors
from disentangle_jax.faces.judge import Judge
from disentangle_jax.faces.truth import Truth
from disentangle_jax.generators import BUNDLED


class Domain(NamedTuple):
    """A domain with a truth for every latent, an instrument to read pictures with, and an exact picture of any answer.

    Attributes:
        truth: what the generator was taught to draw for ws [..., l, d].
        read: the judge's reading of images [n, h, w, c].
        draw: the exact pictures [n, h, w, c] of factors.
    """

    truth: Truth
    read: Callable[[Float[Array, "n h w c"]], Factors]
    draw: Callable[[Factors], Float[Array, "n h w c"]]

    def answer(self, source_ws: Float[Array, "*n l d"], driving_ws: Float[Array, "*n l d"]) -> Factors:
        """The right outcome of a transfer: the appearance of the source, the structure of the driving."""
        return Factors(self.truth(source_ws).appearance, self.truth(driving_ws).structure)


def load_truth(generator: str) -> Truth | None:
    """The truth of a bundled generator; None for a user's."""
    return Truth.load(generator) if generator in BUNDLED else None


def load_domain(generator: str, judge: str, resolution: int) -> Domain | None:
    """The domain of a bundled generator, read by the judge of that name; None for any other generator."""
    truth = load_truth(generator)
    if truth is None:
        return None
    draw = jax.jit(partial(faces.render, resolution=resolution))
    return Domain(truth, partial(_read, Judge.load(judge)), draw)


@jax.jit
def _read(judge: Judge, images: Float[Array, "n h w c"]) -> Factors:
    return judge(images)
