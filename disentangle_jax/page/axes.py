"""Axes of the codes, for sliders: the change of a code that goes with one standard deviation of something named."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.latents import sample_ws

_FACES = 2048  # that the axes are fitted to
_MOST = 9  # named axes of a code, at most
_COMPONENTS = 4  # axes of a code of which nothing is named


class Axes(NamedTuple):
    """Axes of a code.

    Attributes:
        names: of k axes.
        steps: what is added to a code [c] to raise each by one standard deviation of it among faces.
    """

    names: tuple[str, ...]
    steps: Float[np.ndarray, "k c"]

    def move(self, codes: Float[np.ndarray, "t c"], by: Sequence[float]) -> Float[np.ndarray, "t c"]:
        """The codes, moved by so many standard deviations along each axis."""
        return codes + np.asarray(by, np.float32) @ self.steps


def find_axes(model: Disentangler) -> tuple[Axes, Axes]:
    """The axes of appearance and those of structure.

    They are named by the factors of the model's latent readout. Without one, those of structure are named by the
    directions that moved the clips in training, and those of appearance are principal components.
    """
    ws = sample_ws(model.generator.mapping, jax.random.key(0), _FACES, 1.0, tuple(model.config.clips.classes))
    codes, readout = jax.device_get(model.encode(ws)), model.readout
    if readout is None:
        return components(codes.appearance), along(
            model.directions.names, np.asarray(model.directions.coordinates(ws)), codes.structure
        )
    values = np.asarray(readout(ws))
    columns = {True: [], False: []}
    for column, name in enumerate(readout.names):
        columns[name in readout.structure].append(column)

    def named(is_structure: bool, code: Float[np.ndarray, "n c"]) -> Axes:
        chosen = columns[is_structure]
        return along([readout.names[column] for column in chosen], values[:, chosen], code)

    return named(False, codes.appearance), named(True, codes.structure)


def along(names: Sequence[str], values: Float[np.ndarray, "n k"], codes: Float[np.ndarray, "n c"]) -> Axes:
    """The axes of named values, each with the others held: rows of B in the least-squares fit codes = values B + b."""
    offset = np.ones((len(values), 1), values.dtype)
    fit = np.linalg.lstsq(np.concatenate([values, offset], axis=1), codes, rcond=None)[0][:-1]
    steps = fit * values.std(axis=0)[:, None]
    return Axes(tuple(names[:_MOST]), steps[:_MOST].astype(np.float32))


def components(codes: Float[np.ndarray, "n c"]) -> Axes:
    """The leading principal components."""
    _, lengths, rows = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    steps = (lengths[:, None] * rows)[:_COMPONENTS] / np.sqrt(len(codes))
    return Axes(tuple(f"component {number}" for number in range(1, len(steps) + 1)), steps.astype(np.float32))
