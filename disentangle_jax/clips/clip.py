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
from disentangle_jax.clips.augmentations import augment
from disentangle_jax.clips.config import ClipConfig
from disentangle_jax.directions.directions import Directions
from disentangle_jax.directions.readout import Readout
from disentangle_jax.latents import check_classes, sample_labels, sample_mixed_ws

__all__ = ["Clip", "ClipConfig", "ClipSource", "LatentStats", "bounded", "sample_clip"]


_IDENTITIES = int.from_bytes(b"face")  # seed of the faces of `clips.num_identities`


class Clip(NamedTuple):
    """The frames of one face in motion, and each frame again with the same structure and another appearance."""

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
    """Everything `sample_clip` needs, as one pytree.

    Attributes:
        mapping: state of the mapping network, of which `graphdef` is the static part.
        stats: mean and standard deviation of its latents.
        directions: directions of structure.
        appearance: directions of appearance; empty if the config moves along none.
        precision: inverse covariance of faces' coordinates along the directions.
        config: how clips are made.
        purifier: corrects batches of clips [b, t, ...] by a scorer, or None. `sample_clip` does not apply it:
            `sample_tiles` does.
        readout: finds the latents of the frames, or None for clips along straight lines.
    """

    mapping: nnx.State
    stats: LatentStats
    directions: Directions
    appearance: Directions
    precision: Float[Array, "k k"]
    purifier: Callable[[Clip], Clip] | None
    readout: Readout | None
    graphdef: nnx.GraphDef = field(metadata={"static": True})
    config: ClipConfig = field(metadata={"static": True})

    @classmethod
    def create(
        cls,
        generator: sg2.Generator,
        directions: Directions,
        config: ClipConfig,
        appearance: Directions | None = None,
        purifier: Callable[[Clip], Clip] | None = None,
        readout: Readout | None = None,
    ) -> "ClipSource":
        """Measure the latents' statistics and put the source together.

        Raises ValueError if the directions or the readout belong to another generator, or the config is invalid.
        """
        appearance = directions.select(()) if appearance is None else appearance
        for found in (directions, appearance):
            found.check(generator)
        config.check(generator.num_ws, len(directions.names))
        check_classes(generator.mapping, config.classes)
        if config.layers == "each":
            directions.check_alike()
        if (readout is not None) != (config.motion == "readout"):
            given = "no" if readout is None else "a"
            raise ValueError(f"clips.motion={config.motion!r} and {given} latent readout do not go together")
        if readout is not None:
            readout.check(generator)
        if config.appearance > 0.0 and not appearance.names:
            raise ValueError(f"appearance={config.appearance} needs directions of appearance, and there are none")
        graphdef, mapping = nnx.split(generator.mapping)

        @jax.jit
        def measure(mapping: nnx.State) -> tuple[LatentStats, Array]:
            key, network = jax.random.key(0), nnx.merge(graphdef, mapping)
            z = jax.random.normal(key, (config.stats_samples, generator.z_dim))
            labels = sample_labels(network, key, config.stats_samples, config.classes)
            ws = network(z, labels, truncation_psi=config.truncation_psi)
            coordinates = directions.coordinates(ws)
            deviations = coordinates - coordinates.mean(axis=0, keepdims=True)
            return LatentStats(jnp.mean(ws, axis=0), jnp.std(ws, axis=0)), deviations.T @ deviations / len(ws)

        stats, covariance = measure(mapping)
        precision = jnp.linalg.pinv(covariance, hermitian=True)
        return cls(mapping, stats, directions, appearance, precision, purifier, readout, graphdef, config)


def sample_clip(source: ClipSource, key: PRNGKeyArray) -> Clip:
    """One clip: a face whose coordinates along the directions follow a trajectory.

    With absolute coordinates the trajectory replaces the face's own coordinates, so that its own pose does not remain
    in the clip. As offsets the trajectory is added to them, and the coefficients are offsets too. An augmented frame is
    the frame in another appearance, or another face, moved to the same coordinates (as offsets: by the same
    coefficients from that face's own). Layers are moved together, along one vector of W+, or each to the coordinates
    by itself: then no layer of any frame keeps a pose of its own, which an encoder could find and remember.

    Along straight lines the appearance drifts, and the structure is met on average only. With a readout the frames go
    on from there to where it finds the coordinates, and the appearance of the face.
    """
    config, directions = source.config, source.directions
    k_face, k_path, k_frames, k_others, k_looks = jax.random.split(key, 5)
    t, k = config.num_frames, len(directions.names)
    path = config.amplitude * trajectories.mixture(k_path, config.length, k, config.trajectories, config.tau)
    path = path[jax.random.choice(k_frames, config.length, (t,), replace=False)]
    face, others = _faces(source, k_face, 1), _faces(source, k_others, t)
    face = jnp.broadcast_to(face, others.shape)
    start, other_start = (_start(source, ws) for ws in (face, others))
    goal, other_goal = (bounded(start + path, source) for start in (start, other_start))
    ws = _move(source, jax.random.fold_in(key, 0), face, goal)
    looks, changed = augment(k_looks, ws, others, config, source.stats.std, source.appearance)
    augmented = _move(source, jax.random.fold_in(key, 1), looks, jnp.where(changed[:, None], other_goal, goal))
    return Clip(ws, augmented, goal - start)


def _faces(source: ClipSource, key: PRNGKeyArray, n: int) -> Float[Array, "n l d"]:
    """Faces at random: any, or some of those that the config restricts clips to, which are the same in every run."""
    config, mapping = source.config, nnx.merge(source.graphdef, source.mapping)
    options = (config.truncation_psi, config.style_mixing, config.classes)
    if config.num_identities == 0:
        return sample_mixed_ws(mapping, key, n, *options)
    identities = jax.random.randint(key, (n,), 0, config.num_identities)
    keys = jax.vmap(lambda identity: jax.random.fold_in(jax.random.key(_IDENTITIES), identity))(identities)
    return jax.vmap(lambda key: sample_mixed_ws(mapping, key, 1, *options)[0])(keys)


def bounded(coordinates: Float[Array, "t k"], source: ClipSource) -> Float[Array, "t k"]:
    """Coordinates, scaled towards the mean face where they lie beyond the config's bound.

    The distance is Mahalanobis's, sqrt(x^T C^-1 x), where C is the covariance of faces' coordinates. The most probable
    move to coordinates x changes a latent's own distance by no more than this, so the bound keeps frames within the
    distribution of faces. Unlike rejection, scaling keeps the motion continuous, its length and its direction.
    """
    distance = jnp.sqrt(jnp.einsum("tk,kj,tj->t", coordinates, source.precision, coordinates))
    return coordinates * (source.config.bound / jnp.maximum(distance, source.config.bound))[:, None]


def _move(
    source: ClipSource, key: PRNGKeyArray, ws: Float[Array, "t l d"], goal: Float[Array, "t k"]
) -> Float[Array, "t l d"]:
    """The latents moved to these coordinates.

    `key` draws the jitter, which displaces each layer by itself. The readout then moves all layers by one vector until
    it reads the goal: layers that it weighs meet the goal, the others keep their displacement, and the encoder has to
    learn which layers to trust.
    """
    config, directions, readout = source.config, source.directions, source.readout
    moved = directions.move(ws, goal) if config.layers == "together" else directions.move_each_layer(ws, goal)
    if config.jitter > 0.0:
        strays = config.jitter * jax.random.normal(key, (*ws.shape[:2], goal.shape[1]))
        moved = moved + jnp.einsum("tlk,kld->tld", strays, directions.vectors)
    return moved if readout is None else readout.move(ws, moved, goal)


def _start(source: ClipSource, ws: Float[Array, "t l d"]) -> Float[Array, "t k"]:
    """The coordinates that a trajectory is added to: the faces' own for offsets, 0 for absolute coordinates."""
    readout = source.readout
    coordinates = source.directions.coordinates(ws) if readout is None else readout.read_structure(ws)
    return coordinates if source.config.coordinates == "offset" else jnp.zeros_like(coordinates)
