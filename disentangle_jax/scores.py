"""R^2, PSNR, and memory-bounded batching."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def r2(predicted: Float[Array | np.ndarray, "n f"], target: Float[Array | np.ndarray, "n f"]) -> Float[np.ndarray, "f"]:
    """Coefficient of determination of each factor: 1 - sum((target - predicted)^2) / sum((target - mean target)^2).

    1 is exact, 0 is as good as predicting the mean, and there is no lower bound. Unlike a squared correlation it
    counts an offset or a wrong scale as an error.

    Raises:
        ValueError: a target is constant.
    """
    from sklearn.metrics import r2_score  # a second to import, which most commands never need

    predicted, target = np.asarray(predicted), np.asarray(target)
    spread = np.ptp(target, axis=0)
    if not np.all(spread > 0):
        raise ValueError(
            f"R^2 needs targets that vary; column {int(np.argmin(spread))} of {target.shape[1]} is constant"
        )
    return np.asarray(r2_score(target, predicted, multioutput="raw_values"))


def psnr(images: Float[Array, "n h w c"], truth: Float[Array, "n h w c"]) -> Float[Array, "n"]:
    """Peak signal-to-noise ratio of each image in dB: 10 log10(4 / mean squared error), as [-1, 1] has a range of 2."""
    error = jnp.mean(jnp.square(images - truth), axis=(1, 2, 3))
    return 10.0 * jnp.log10(4.0 / jnp.maximum(error, 1e-12))


_PIXELS = 2**18  # of the images that are drawn at once, at most


def render_batch(resolution: int) -> int:
    """How many images of this resolution are drawn at once: 64 of 64 px, 1 of 512 px and more."""
    return max(1, _PIXELS // resolution**2)


def in_batches(function: Callable[..., Any], batch_size: int, *arrays: Any) -> Any:
    """Apply a function to `batch_size` rows of the arrays at a time, and concatenate what it returns on the host.

    Every batch has the same size (the last one repeats its last row), so a jitted function is compiled once.
    """
    arrays = jax.device_get(arrays)
    n = len(arrays[0])
    outputs = []
    for start in range(0, n, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), n - 1)
        outputs.append(jax.device_get(function(*(jnp.asarray(array[rows]) for array in arrays))))
    return jax.tree.map(lambda *batches: np.concatenate(batches)[:n], *outputs)
