"""Synthetic latent videos: one pure function of one key makes one clip.

Batches are `vmap` of it over keys fold_in(key, global index), so a clip's random draws do not depend on the number of
devices that share the batch.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax.latents import trajectories
from disentangle_jax.latents.directions import Directions

_STATS_SAMPLES = 8192


class Clip(NamedTuple):
    """Frames of one face in motion, and each frame again with its structure on another look."""

    ws: Float[Array, "*b t l d"]
    augmented: Float[Array, "*b t l d"]
    coefficients: Float[Array, "*b t k"]  # where the frames lie along each direction, in standard deviations


class Recipe(NamedTuple):
    """How clips are made; the fields are those of `config.clips`."""

    length: int  # frames of a trajectory
    num_frames: int  # of these, drawn without replacement, are the clip's
    trajectories: tuple[str, ...]
    amplitude: float  # of the coefficients, 1 = the population's own spread
    truncation_psi: float
    style_mixing: float  # probability that a face takes its layers from a random cut on from another
    mix_from: int  # augmentation: the first layer that may come from another face
    change_face: float  # augmentation: probability that the motion is put on another face altogether


class LatentStats(NamedTuple):
    """Mean and standard deviation of the entries of ws over faces."""

    mean: Float[Array, "l d"]
    std: Float[Array, "l d"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ClipSource:
    """All that `sample_clip` needs, as one pytree: the mapping network, its statistics, the directions, the recipe."""

    mapping: nnx.State
    stats: LatentStats
    directions: Directions
    graphdef: nnx.GraphDef = field(metadata={"static": True})
    recipe: Recipe = field(metadata={"static": True})

    @classmethod
    def create(cls, generator: sg2.Generator, directions: Directions, recipe: Recipe) -> "ClipSource":
        """Raises ValueError if the directions belong to another generator, or the recipe asks for the impossible."""
        expected = (generator.num_ws, generator.w_dim)
        if directions.mean.shape != expected:
            raise ValueError(f"directions are of W+ {directions.mean.shape}, the generator's is {expected}")
        if not 1 <= recipe.num_frames <= recipe.length:
            raise ValueError(f"a clip of {recipe.length} frames has no {recipe.num_frames} to draw")
        if not 0 < recipe.mix_from < generator.num_ws:
            raise ValueError(f"mix_from={recipe.mix_from} must lie between 1 and {generator.num_ws - 1}")
        graphdef, mapping = nnx.split(generator.mapping)
        z = jax.random.normal(jax.random.key(0), (_STATS_SAMPLES, generator.z_dim))
        ws = jax.jit(lambda mapping, z: nnx.merge(graphdef, mapping)(z, truncation_psi=recipe.truncation_psi))(
            mapping, z
        )
        return cls(mapping, LatentStats(jnp.mean(ws, axis=0), jnp.std(ws, axis=0)), directions, graphdef, recipe)


def sample_faces(source: ClipSource, key: PRNGKeyArray, n: int) -> Float[Array, "n l d"]:
    """ws of n random faces, some of them style-mixed from two."""
    k_z, k_cut, k_mix = jax.random.split(key, 3)
    mapping = nnx.merge(source.graphdef, source.mapping)
    z = jax.random.normal(k_z, (2 * n, mapping.z_dim))
    ws = mapping(z, truncation_psi=source.recipe.truncation_psi)
    cut = jax.random.randint(k_cut, (n,), 1, mapping.num_ws)
    mixed = jax.random.bernoulli(k_mix, source.recipe.style_mixing, (n,))
    return _take_layers_from(jnp.where(mixed, cut, mapping.num_ws), ws[:n], ws[n:])


def sample_clip(source: ClipSource, key: PRNGKeyArray) -> Clip:
    """One clip: a face whose coordinates along the directions follow a trajectory.

    The coordinates are replaced, not added to, so that no pose of its own stays with the face. An augmented frame is
    another face's fine layers, or another face altogether, moved to the same coordinates.
    """
    recipe, directions = source.recipe, source.directions
    k_face, k_path, k_frames, k_others, k_cut, k_change = jax.random.split(key, 6)
    t, k = recipe.num_frames, len(directions.names)
    path = recipe.amplitude * trajectories.mixture(k_path, recipe.length, k, recipe.trajectories)
    frames = jax.random.choice(k_frames, recipe.length, (t,), replace=False)
    coefficients = path[frames]
    face, others = sample_faces(source, k_face, 1), sample_faces(source, k_others, t)
    ws = directions.move(jnp.broadcast_to(face, others.shape), coefficients)
    cut = jax.random.randint(k_cut, (t,), recipe.mix_from, others.shape[1])
    cut = jnp.where(jax.random.bernoulli(k_change, recipe.change_face, (t,)), 0, cut)
    augmented = directions.move(_take_layers_from(cut, ws, others), coefficients)
    return Clip(ws, augmented, coefficients)


def _take_layers_from(cut: Array, ws: Float[Array, "n l d"], others: Float[Array, "n l d"]) -> Float[Array, "n l d"]:
    return jnp.where((jnp.arange(ws.shape[1])[None, :] < cut[:, None])[..., None], ws, others)
