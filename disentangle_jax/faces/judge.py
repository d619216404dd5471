"""The judge: a small CNN that reads the factors of a face from its image.

Two are bundled, with different seeds and widths, so that the judge that finds directions (`judge_a`) is not the one
that evaluates results (`judge_b`). The card of each in `assets/` has its R^2 for every factor.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from disentangle_jax import arrays
from disentangle_jax.batching import in_batches
from disentangle_jax.faces.factors import NAMES, STRUCTURE, Factors, unstack
from disentangle_jax.weights import named_arrays, with_arrays

RESOLUTION = 64


class Judge(nnx.Module):
    """Four strided convolutions, a hidden layer, and an output for each factor. A `disentangle_jax.scorers.Scorer`.

    Args:
        widths: channels of the four convolutions.
        hidden: units of the hidden layer.
        rngs: random keys for the initialization.
    """

    names = NAMES
    structure = STRUCTURE

    def __init__(self, widths: tuple[int, ...], hidden: int, *, rngs: nnx.Rngs):
        self.widths, self.hidden = tuple(widths), hidden
        channels = (3, *widths)
        kernels = (5, 3, 3, 3)
        self.convs = nnx.List(
            nnx.Conv(i, o, (k, k), strides=2, rngs=rngs) for i, o, k in zip(channels, widths, kernels, strict=False)
        )
        side = RESOLUTION // 2 ** len(widths)
        self.dense = nnx.Linear(side * side * widths[-1], hidden, rngs=rngs)
        self.head = nnx.Linear(hidden, len(NAMES), rngs=rngs)

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n 16"]:
        """Read the factors of images in [-1, 1] of 64 x 64 pixels. Raises ValueError for other sizes."""
        return self.head(self.features(images))

    def features(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n f"]:
        """The activations of the hidden layer for such images."""
        if images.shape[1:] != (RESOLUTION, RESOLUTION, 3):
            raise ValueError(f"the judge reads images of {RESOLUTION} x {RESOLUTION} x 3; got {images.shape[1:]}")
        x = images
        for conv in self.convs:
            x = nnx.silu(conv(x))
        return nnx.silu(self.dense(x.reshape(len(x), -1)))

    def save(self, path: Path) -> None:
        """Write the weights, in half precision, and the sizes of the layers."""
        arrays.save(path, named_arrays(self, np.float16), judge={"widths": self.widths, "hidden": self.hidden})

    @classmethod
    def load(cls, name: str | Path) -> "Judge":
        """Load a judge.

        Args:
            name: "judge_a" or "judge_b", which are bundled, or a file that `save` wrote.

        Raises:
            FileNotFoundError: there is no such judge or file.
            ValueError: the file is damaged or holds something else.
        """
        path = arrays.asset(name, f"no judge {str(name)!r}: give 'judge_a', 'judge_b' or a file written by Judge.save")
        stored, sizes = arrays.load(path, "judge")
        widths, hidden = tuple(sizes["widths"]), sizes["hidden"]
        abstract = nnx.eval_shape(lambda: cls(widths, hidden, rngs=nnx.Rngs(0)))
        return with_arrays(abstract, stored, path, described_by="its record of sizes")


def read_factors(judge: Judge, images: Float[Array | np.ndarray, "n h w 3"], batch_size: int = 256) -> Factors:
    """Read the factors of any number of images, in batches."""
    return unstack(jnp.asarray(in_batches(partial(_read, judge), min(batch_size, len(images)), images)))


@jax.jit
def _read(judge: Judge, images: Float[Array, "n h w 3"]) -> Float[Array, "n 16"]:
    return judge(images)
