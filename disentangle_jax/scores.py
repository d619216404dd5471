"""R^2, PSNR, and memory-bounded batching."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def r2(predicted: Float[Array | np.ndarray, "n f"], target: Float[Array | np.ndarray, "n f"]) -> Float[np.ndarray, "f"]:
    """Coefficient of determination of each factor: 1 - sum((target - predicted)^2) / sum((target - mean target)^2).

    1 is exact, 0 is as good as always saying the mean, and there is no lower bound. It is not a squared correlation: a
    shift or a wrong scale costs. ValueError if a target does not vary, for then there is nothing to explain.
    """
    from sklearn.metrics import r2_score  # takes a second that nobody else should wait for

    predicted, target = np.asarray(predicted), np.asarray(target)
    spread = np.ptp(target, axis=0)
    if not np.all(spread > 0):
        raise ValueError(
            f"R^2 needs targets that vary; column {int(np.argmin(spread))} of {target.shape[1]} is constant"
        )
    return np.asarray(r2_score(target, predicted, multioutput="raw_values"))


def psnr(images: Float[Array, "n h w c"], truth: Float[Array, "n h w c"]) -> Float[Array, "n"]:
    """Peak signal-to-noise ratio of each image in dB: 10 log10(peak^2 / mean squared error), the peak being 2 for [-1,
    1].
    """
    error = jnp.mean(jnp.square(images - truth), axis=(1, 2, 3))
    return 10.0 * jnp.log10(4.0 / jnp.maximum(error, 1e-12))


_PIXELS = 2**18  # drawn at once, at most


def render_batch(resolution: int) -> int:
    """How many images of this resolution are drawn at once: 64 of 64 px, 1 of 512 px and more."""
    return max(1, _PIXELS // resolution**2)


def in_batches(function: Callable[..., Any], batch_size: int, *arrays: Any) -> Any:
    """`function` of whole arrays, computed `batch_size` rows at a time and gathered on the host.

    Every batch has the same size (the last one repeats its last row), so a jitted function compiles once.
    """
    arrays = jax.device_get(arrays)
    n = len(arrays[0])
    outputs = []
    for start in range(0, n, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), n - 1)
        outputs.append(jax.device_get(function(*(jnp.asarray(array[rows]) for array in arrays))))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:n], *outputs)
