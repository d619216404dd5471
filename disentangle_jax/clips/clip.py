"""Synthetic latent videos: one pure function of one key makes one clip.

Batches are `vmap` of it over keys fold_in(key, global index), so a clip's random draws do not depend on the number of
devices that share the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax.clips import trajectories
from disentangle_jax.clips.augmentations import augment, take_layers_from
from disentangle_jax.clips.config import ClipConfig
from disentangle_jax.directions.directions import Directions

__all__ = ["Clip", "ClipConfig", "ClipSource", "LatentStats", "bounded", "sample_clip", "sample_faces"]

_STATS_SAMPLES = 8192


class Clip(NamedTuple):
    """Frames of one face in motion, and each frame again with its structure on another look."""

    ws: Float[Array, "*b t l d"]
    augmented: Float[Array, "*b t l d"]
    coefficients: Float[Array, "*b t k"]  # where the frames lie along each direction, in standard deviations


class LatentStats(NamedTuple):
    """Mean and standard deviation of the entries of ws over faces."""

    mean: Float[Array, "l d"]
    std: Float[Array, "l d"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ClipSource:
    """All that `sample_clip` needs, as one pytree.

    Attributes:
        mapping: the state of the mapping network; graphdef: its other half.
        stats: of its latents.
        directions: that move structure.
        appearance: directions that change the look, none where the recipe moves along none.
        precision: inverse covariance of the coordinates of faces along the directions.
        recipe: how clips are made.
        purifier: corrects whole batches of clips [b, t, ...] by what their pictures show; None where they stay as
            they are. `sample_clip` does not call it: who batches the clips does.
    """

    mapping: nnx.State
    stats: LatentStats
    directions: Directions
    appearance: Directions
    precision: Float[Array, "k k"]
    purifier: Callable[[Clip], Clip] | None
    graphdef: nnx.GraphDef = field(metadata={"static": True})
    recipe: ClipConfig = field(metadata={"static": True})

    @classmethod
    def create(
        cls,
        generator: sg2.Generator,
        directions: Directions,
        recipe: ClipConfig,
        appearance: Directions | None = None,
        purifier: Callable[[Clip], Clip] | None = None,
    ) -> "ClipSource":
        """Raises ValueError if the directions belong to another generator, or the recipe asks for the impossible."""
        appearance = directions.select(()) if appearance is None else appearance
        for found in (directions, appearance):
            found.check(generator)
        recipe.check(generator.num_ws, len(directions.names))
        if directions.names and recipe.appearance > 0.0 and not appearance.names:
            raise ValueError(f"appearance={recipe.appearance} needs directions of appearance, and there are none")
        graphdef, mapping = nnx.split(generator.mapping)

        @jax.jit
        def measure(mapping: nnx.State) -> tuple[LatentStats, Array]:
            z = jax.random.normal(jax.random.key(0), (_STATS_SAMPLES, generator.z_dim))
            ws = nnx.merge(graphdef, mapping)(z, truncation_psi=recipe.truncation_psi)
            coordinates = directions.coordinates(ws)
            deviations = coordinates - coordinates.mean(axis=0, keepdims=True)
            return LatentStats(jnp.mean(ws, axis=0), jnp.std(ws, axis=0)), deviations.T @ deviations / len(ws)

        stats, covariance = measure(mapping)
        precision = jnp.linalg.pinv(covariance, hermitian=True)
        return cls(mapping, stats, directions, appearance, precision, purifier, graphdef, recipe)


def sample_faces(source: ClipSource, key: PRNGKeyArray, n: int) -> Float[Array, "n l d"]:
    """ws of n random faces, some of them style-mixed from two."""
    k_z, k_cut, k_mix = jax.random.split(key, 3)
    mapping = nnx.merge(source.graphdef, source.mapping)
    z = jax.random.normal(k_z, (2 * n, mapping.z_dim))
    ws = mapping(z, truncation_psi=source.recipe.truncation_psi)
    cut = jax.random.randint(k_cut, (n,), 1, mapping.num_ws)
    mixed = jax.random.bernoulli(k_mix, source.recipe.style_mixing, (n,))
    return take_layers_from(jnp.where(mixed, cut, mapping.num_ws), ws[:n], ws[n:])


def sample_clip(source: ClipSource, key: PRNGKeyArray) -> Clip:
    """One clip: a face whose coordinates along the directions follow a trajectory.

    The coordinates are replaced, not added to, so that no pose of its own stays with the face; or, as offsets, they are
    added to, and then the coefficients are offsets too. An augmented frame is the frame in another look, or another
    face altogether, moved to the same coordinates (as offsets: by the same coefficients from that face's own).
    """
    recipe, directions = source.recipe, source.directions
    k_face, k_path, k_frames, k_others, k_looks = jax.random.split(key, 5)
    t, k = recipe.num_frames, len(directions.names)
    path = recipe.amplitude * trajectories.mixture(k_path, recipe.length, k, recipe.trajectories, recipe.tau)
    path = path[jax.random.choice(k_frames, recipe.length, (t,), replace=False)]
    face, others = sample_faces(source, k_face, 1), sample_faces(source, k_others, t)
    face = jnp.broadcast_to(face, others.shape)
    start, other_start = (_start(source, ws) for ws in (face, others))
    goal, other_goal = (bounded(start + path, source) for start in (start, other_start))
    ws = directions.move(face, goal)
    looks, changed = augment(k_looks, ws, others, recipe, source.stats.std, source.appearance)
    augmented = directions.move(looks, jnp.where(changed[:, None], other_goal, goal))
    return Clip(ws, augmented, goal - start)


def bounded(coordinates: Float[Array, "t k"], source: ClipSource) -> Float[Array, "t k"]:
    """Coordinates drawn back towards the mean face where they lie beyond the recipe's bound.

    The distance is Mahalanobis's, sqrt(x^T C^-1 x) with C the covariance of faces' coordinates. The most probable move
    to coordinates x changes a latent's own distance by no more than this, so a bound here keeps the frames among faces,
    whatever the rest of the latent. Drawing back, unlike rejection, keeps a motion continuous, its length fixed and its
    direction as it was.
    """
    distance = jnp.sqrt(jnp.einsum("tk,kj,tj->t", coordinates, source.precision, coordinates))
    return coordinates * (source.recipe.bound / jnp.maximum(distance, source.recipe.bound))[:, None]


def _start(source: ClipSource, ws: Float[Array, "t l d"]) -> Float[Array, "t k"]:
    """What trajectories are added to: the faces' own coordinates, or 0 where trajectories replace these."""
    coordinates = source.directions.coordinates(ws)
    return coordinates if source.recipe.coordinates == "offset" else jnp.zeros_like(coordinates)
