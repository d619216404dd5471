"""Proxies: what stands for the truth where it is not known, as distances of readings of pictures.

A reader turns pictures into readings of several kinds, such as an embedding of the face or measures of its landmarks.
Those of appearance are compared with the source's, those of structure with the driving's. Where the truth is known, the
same kinds of readings by a scorer show how far such distances agree with it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float

from disentangle_jax.batching import in_batches
from disentangle_jax.domains import JudgedDomain
from disentangle_jax.inversion.optimisation import Distance
from disentangle_jax.scorers import features_of

Readings = Mapping[str, Float[np.ndarray, "n _"]]
"""Readings of n pictures by the name of their proxy; rows of NaN where there was nothing to read."""

APPEARANCE, STRUCTURE = "appearance", "structure"


class Proxy(NamedTuple):
    """A distance between readings.

    Attributes:
        title: what it is, by which instrument.
        of: whether it stands for `APPEARANCE`, and is taken to the source, or for `STRUCTURE`, to the driving.
        compare: readings [..., f] of pictures and of others, which broadcast, to distances or similarities [...].
        higher_is_better: whether it is a similarity.
    """

    title: str
    of: str
    compare: Callable[[Float[np.ndarray, "... f"], Float[np.ndarray, "... f"]], Float[np.ndarray, "..."]]
    higher_is_better: bool = False

    def record(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"title": self.title, "of": self.of, "higher_is_better": self.higher_is_better}


@runtime_checkable
class Reader(Protocol):
    """What reads pictures for proxies.

    Attributes:
        proxies: by name.
    """

    @property
    def proxies(self) -> Mapping[str, Proxy]: ...

    def read(self, images: Float[np.ndarray, "n h w c"]) -> Readings:
        """The readings of pictures in [-1, 1]."""
        ...


class Instruments(NamedTuple):
    """What pictures of driven clips are measured with, beside pixels.

    Attributes:
        reader: reads pictures where no domain is known; where one is, its scorer does.
        distance: a perceptual distance of images from targets, see `inversion.distances`.
        num_clips: number of clips that are looked at; all if None.
    """

    reader: Reader | None = None
    distance: Distance | None = None
    num_clips: int | None = None

    def of(self, domain: JudgedDomain | None, batch_size: int) -> "Instruments":
        """The same, with the scorer of the domain as the reader where there is a domain."""
        return self if domain is None else self._replace(reader=ScorerReader(domain, batch_size))


class ScorerReader:
    """Readings by the scorer of a domain whose truth is known.

    Args:
        domain: the domain.
        batch_size: pictures read at a time.
    """

    def __init__(self, domain: JudgedDomain, batch_size: int):
        self._domain, self._batch_size = domain, batch_size
        features = features_of(domain.scorer)
        self._features = jax.jit(features) if features else None
        title = "mean difference of the scorer's readings of it"
        self.proxies = {kind: Proxy(title, kind, mean_difference) for kind in (APPEARANCE, STRUCTURE)}
        if self._features:
            title = "cosine of the scorer's features, as CSIM is of an embedding"
            self.proxies["embedding"] = Proxy(title, APPEARANCE, cosine, True)

    def read(self, images: Float[np.ndarray, "n h w c"]) -> Readings:
        factors = in_batches(self._domain.read, self._batch_size, images)
        readings = {APPEARANCE: np.asarray(factors.appearance), STRUCTURE: np.asarray(factors.structure)}
        if self._features:
            embed = partial(self._features, self._domain.scorer)
            readings["embedding"] = np.asarray(in_batches(embed, self._batch_size, images))
        return readings


def mean_difference(one: Float[np.ndarray, "... f"], other: Float[np.ndarray, "... f"]) -> Float[np.ndarray, "..."]:
    """Mean absolute difference."""
    return np.abs(one - other).mean(axis=-1)


def distance(one: Float[np.ndarray, "... f"], other: Float[np.ndarray, "... f"]) -> Float[np.ndarray, "..."]:
    """Euclidean distance."""
    return np.linalg.norm(one - other, axis=-1)


def cosine(one: Float[np.ndarray, "... f"], other: Float[np.ndarray, "... f"]) -> Float[np.ndarray, "..."]:
    """Cosine of the angle between readings."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return (one * other).sum(axis=-1) / np.maximum(lengths, 1e-12)
