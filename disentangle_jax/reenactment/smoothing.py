"""The One-Euro filter: noise on slow motion is smoothed away, fast motion is followed.

After Casiez, Roussel and Vogel, "1€ Filter: a simple speed-based low-pass filter for noisy input in interactive
systems" (CHI 2012).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_SPEED_CUTOFF = 1.0  # Hz, of the low-pass filter on the speed, as in the paper


class OneEuro(NamedTuple):
    """The two constants of the filter.

    Attributes:
        min_cutoff: cutoff frequency at rest, in Hz: lower values smooth more.
        beta: by how many Hz the cutoff rises for each unit of speed: higher values lag less.
    """

    min_cutoff: float
    beta: float


def smooth(codes: Float[np.ndarray, "t s"], fps: float, constants: OneEuro) -> Float[np.ndarray, "t s"]:
    """Smooth codes over time.

    With a(f) = 1 / (1 + fps / (2 pi f)), the weight of a new value in a low-pass filter of cutoff frequency f:
    speed' = a(1 Hz) fps (x - y) + (1 - a(1 Hz)) speed, f = min_cutoff + beta |speed'|, y' = a(f) x + (1 - a(f)) y,
    where |.| is the root mean square over the axes of a code, which move as one.

    Args:
        codes: of t frames, in units in which motion is of order 1.
        fps: frames per second.
        constants: of the filter.
    """
    smoothed, speed = codes.copy(), np.zeros_like(codes[:1])[0]
    for i in range(1, len(codes)):
        weight = _weight(_SPEED_CUTOFF, fps)
        speed = (weight * fps * (codes[i] - smoothed[i - 1]) + (1 - weight) * speed).astype(codes.dtype)
        weight = _weight(constants.min_cutoff + constants.beta * math.sqrt(np.mean(speed**2)), fps)
        smoothed[i] = weight * codes[i] + (1 - weight) * smoothed[i - 1]
    return smoothed


def _weight(cutoff: float, fps: float) -> float:
    return 1 / (1 + fps / (2 * math.pi * cutoff))
