"""Functions of many rows, a batch at a time, so that memory is bounded."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

_T = TypeVar("_T")
_PIXELS = 2**18  # of the images that are drawn at once, at most


def render_batch(resolution: int) -> int:
    """How many images of this resolution are drawn at once: 64 of 64 px, 1 of 512 px and more."""
    return max(1, _PIXELS // resolution**2)


def batch_of(count: int, resolution: int) -> int:
    """How many images are drawn at once where there are `count`: a power of two, so that few sizes are compiled."""
    return min(render_batch(resolution), 1 << max(0, count - 1).bit_length())


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


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of `size` items, the last one perhaps shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
