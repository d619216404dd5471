"""The latents of an evaluation, which no training run has seen: their keys derive from `config.evaluation.seed`."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import Domain
from disentangle_jax.evaluation.motion import Puppeteer, layer_puppeteer, loops
from disentangle_jax.latents import sample_mixed_ws, sample_ws

_STREAM = int.from_bytes(b"eval")  # apart from training's streams, even under the same seed


class Pairs(NamedTuple):
    """Faces that give appearance, and as many that give structure."""

    source_ws: Float[Array, "n l d"]
    driving_ws: Float[Array, "n l d"]


class MovingFaces(NamedTuple):
    """Faces that move, and by which motions."""

    ws: Float[Array, "n t l d"]
    motion: Float[Array, "n t k"]


class HeldOut(NamedTuple):
    """What is evaluated on.

    Attributes:
        pairs: of the transfer exam.
        selection: pairs on which choices are made (which layer split), so that none is made on the exam.
        sources, drivings: faces [n, l, d] and the clips that drive them, for motion transfer.
        poses: faces in poses of their own, for probes.
        mixed_poses: the same of faces mixed from two, whose layers are moved each by itself; None without a truth.
        chorus: faces that all make one motion, for retrieval.
        crowd: many faces, for the linear readout of their factors.
    """

    pairs: Pairs
    selection: Pairs
    sources: Float[Array, "n l d"]
    drivings: MovingFaces
    poses: MovingFaces
    mixed_poses: MovingFaces | None
    chorus: MovingFaces
    crowd: Float[Array, "n l d"]


def held_out(model: Disentangler, puppeteer: Puppeteer, domain: Domain | None) -> HeldOut:
    """Draw them all; `domain` is the truth about the generator's pictures."""
    plan = model.config.evaluation
    faces = partial(_faces, model)
    k = len(puppeteer.names)

    def pairs(key: Key[Array, ""], n: int) -> Pairs:
        source_key, driving_key = jax.random.split(key)
        return Pairs(faces(source_key, n), faces(driving_key, n))

    def clips(key: Key[Array, ""], motion: Float[Array, "n t k"]) -> MovingFaces:
        return MovingFaces(puppeteer.clips(faces(key, len(motion)), motion), motion)

    keys = jax.random.split(jax.random.fold_in(jax.random.key(plan.seed), _STREAM), 10)
    exam, selection, sources, drivings, motions, poses, spots, chorus, score, crowd = keys
    each_its_own = jax.vmap(lambda key: loops(key, plan.motion.num_frames, k))(
        jax.random.split(motions, plan.motion.num_clips)
    )
    anywhere = jax.random.uniform(spots, (plan.probes.num_faces, plan.probes.num_frames, k), minval=-1.0)
    together = jnp.tile(loops(score, plan.retrieval.num_frames, k)[None], (plan.retrieval.num_faces, 1, 1))
    crowd_ws = faces(crowd, plan.num_readout_faces)
    return HeldOut(
        pairs=pairs(exam, plan.num_pairs),
        selection=pairs(selection, plan.num_selection_pairs),
        sources=faces(sources, plan.motion.num_clips),
        drivings=clips(drivings, each_its_own),
        poses=clips(poses, anywhere),
        mixed_poses=None if domain is None else _mixed_poses(model, domain, poses, anywhere, crowd_ws),
        chorus=clips(chorus, together),
        crowd=crowd_ws,
    )


def _mixed_poses(
    model: Disentangler,
    domain: Domain,
    key: Key[Array, ""],
    motion: Float[Array, "n t k"],
    crowd: Float[Array, "m l d"],
) -> MovingFaces:
    options = model.config.clips
    ws = sample_mixed_ws(model.generator.mapping, key, len(motion), options.truncation_psi, 1.0, tuple(options.classes))
    variances, axes = jnp.linalg.eigh(jnp.cov(crowd[:, 0].T))
    basis = axes * jnp.sqrt(jnp.maximum(variances, 0.0))[None]
    puppeteer = layer_puppeteer(domain, basis, model.config.evaluation.motion.factor_amplitude)
    return MovingFaces(puppeteer.clips(ws, motion), motion)


def _faces(model: Disentangler, key: Key[Array, ""], n: int) -> Float[Array, "n l d"]:
    clips = model.config.clips
    return sample_ws(model.generator.mapping, key, n, clips.truncation_psi, tuple(clips.classes))
