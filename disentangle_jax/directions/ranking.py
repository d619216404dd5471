"""How purely directions move structure, measured by a scorer's readings of the images or by image statistics."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches, render_batch
from disentangle_jax.directions.directions import Directions
from disentangle_jax.scorers import Factors, Scorer, split
from stylegan2_flax import files
from stylegan2_flax.files import AnyPath

PATH = (-1.0, 0.0, 1.0)
"""Coordinates along a direction at which faces are rendered, in standard deviations."""

_SIDE = 64  # images are downsampled to at most this resolution: structure is coarse
_EPSILON = 1e-6


ReadImages = Callable[[Float[Array, "n h w c"]], Factors]
"""Images -> readings of appearance and of structure: any numbers that differ more the more either does."""

ReadLatents = Callable[[Float[Array, "n l d"]], Factors]
"""Latents -> the same readings of their images."""


class Ranking(NamedTuple):
    """How far each direction moves structure and appearance along `PATH`, relative to the population's spread.

    With x the readings of one kind, the change is sqrt(mean over faces of sum_f (sum over steps |change of x_f|)^2 /
    sum_f var x_f). Two random faces differ by sqrt(2) on this scale.

    Attributes:
        by: what read the images: "scorer" or "pictures".
        num_faces: number of faces that were moved.
        least_change: a change too small to be visible, on the same scale. It keeps a direction that moves nothing from
            counting as pure.
        names: of the directions.
        structure: change of structure along each direction.
        appearance: change of appearance along each direction.
    """

    by: str
    num_faces: int
    least_change: float
    names: tuple[str, ...]
    structure: Float[np.ndarray, "k"]
    appearance: Float[np.ndarray, "k"]

    @property
    def purity(self) -> Float[np.ndarray, "k"]:
        """structure^2 / (structure^2 + appearance^2 + least_change^2), between 0 and 1."""
        s, a = np.square(self.structure), np.square(self.appearance)
        return s / (s + a + self.least_change**2)

    def best(self, num: int) -> list[int]:
        """The indices of the purest directions, the purest first."""
        return np.argsort(-self.purity, kind="stable")[:num].tolist()

    def save(self, path: str | AnyPath, kept: Sequence[str]) -> None:
        """Write the scores as JSON, the purest direction first. `kept` names the directions that were kept."""
        kinds = {"structure": self.structure, "appearance": self.appearance, "purity": self.purity}
        rows = [
            {"name": name, "kept": name in kept} | {kind: round(float(x[i]), 4) for kind, x in kinds.items()}
            for i, name in enumerate(self.names)
        ]
        rows.sort(key=lambda row: -row["purity"])
        about = {"by": self.by, "num_faces": self.num_faces, "path": PATH, "least_change": self.least_change}
        files.write_text(path, json.dumps(about | {"directions": rows}, indent=1))


def rank(directions: Directions, ws: Float[Array, "n l d"], look: ReadLatents, by: str, least_change: float) -> Ranking:
    """Move faces along each direction and measure the change of their images.

    Args:
        directions: the candidates. Faces are moved along one at a time.
        ws: the faces. The variance of their own readings is the population's spread.
        look: reads the images of latents.
        by: what reads them, for the record.
        least_change: a change too small to be visible, in the units of `Ranking`; above 0.

    Raises:
        ValueError: there is but one face, and no spread.
    """
    if len(ws) < 2:
        raise ValueError(f"a ranking needs at least 2 faces (directions.rank_faces); got {len(ws)}")
    spread = [float(np.var(x, axis=0).sum()) for x in look(ws)]
    changes = []
    for i in tqdm(range(len(directions.names)), desc=f"ranking by {by}", unit=" directions"):
        single = directions.select([i])
        stops = [jax.device_get(look(single.move(ws, jnp.full((len(ws), 1), c)))) for c in PATH]
        changes.append([_change(x, total) for x, total in zip(zip(*stops, strict=True), spread, strict=True)])
    appearance, structure = np.asarray(changes, np.float64).reshape(-1, 2).T
    return Ranking(by, len(ws), least_change, directions.names, structure, appearance)


def looker(generator: sg2.Generator, read: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """A function that renders latents and reads the images, in batches of bounded memory."""
    draw = jax.jit(lambda synthesis, ws: read(synthesis(ws, noise_mode="const")))
    batch_size = render_batch(generator.img_resolution)
    return lambda ws: in_batches(lambda batch: draw(generator.synthesis, batch), min(batch_size, len(ws)), ws)


def by_scorer(scorer: Scorer) -> ReadImages:
    """A reader of images by a scorer's factors."""
    return lambda images: split(scorer(images), scorer)


def by_picture(images: Float[Array, "n h w c"]) -> Factors:
    """Image statistics in place of a scorer: edges stand for structure, colour statistics for appearance.

    The edges are the gradient's magnitude after each channel is normalised to mean 0 and variance 1, averaged over
    cells of a sixteenth of the image's side and mapped to x / (x + mean x), so that a change of colour or contrast
    alone hardly changes them. The colour statistics are the channels' means and standard deviations.
    """
    images = _cells(images, _SIDE)
    mean, std = jnp.mean(images, axis=(1, 2), keepdims=True), jnp.std(images, axis=(1, 2), keepdims=True)
    x = jnp.pad((images - mean) / (std + _EPSILON), ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    slopes = jnp.stack([jnp.diff(x, axis=1)[:, :, :-1], jnp.diff(x, axis=2)[:, :-1]])
    strength = _cells(jnp.sqrt(jnp.sum(jnp.square(slopes), axis=(0, 4))[..., None] + _EPSILON), _SIDE // 4)
    edges = strength / (strength + jnp.mean(strength, axis=(1, 2), keepdims=True))
    colours = jnp.concatenate([mean, std], axis=3).reshape(len(images), -1)
    return Factors(appearance=colours, structure=edges.reshape(len(images), -1))


def _cells(images: Float[Array, "n h w c"], side: int) -> Float[Array, "n h2 w2 c"]:
    """Averages over square cells, at most `side` of them along each side."""
    n, h, w, c = images.shape
    size = max(1, h // side)
    return images.reshape(n, h // size, size, w // size, size, c).mean(axis=(2, 4))


def _change(stops: Sequence[Float[np.ndarray, "n p"]], spread: float) -> float:
    distance = np.abs(np.diff(np.stack(stops), axis=0)).sum(0)
    return float(np.sqrt(np.square(distance).sum(1).mean() / spread))
