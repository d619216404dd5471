"""The held-out latents of an evaluation.

No training run has seen them: their keys derive from `config.evaluation.seed`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import Domain
from disentangle_jax.evaluation.motion import Animator, layerwise_animator, sample_loop, sample_moments
from disentangle_jax.latents import sample_mixed_ws, sample_ws

_EVALUATION = int.from_bytes(b"eval")  # folded into the key: the keys of training differ even under the same seed


class Pairs(NamedTuple):
    """Sources, which give the appearance, and as many drivings, which give the structure."""

    source_ws: Float[Array, "n l d"]
    driving_ws: Float[Array, "n l d"]


class HeldOutClips(NamedTuple):
    """n clips of t frames, and the motion that each went through, in [-1, 1]."""

    ws: Float[Array, "n t l d"]
    motion: Float[Array, "n t k"]


class HeldOut(NamedTuple):
    """What a model is evaluated on.

    Attributes:
        pairs: pairs that transfer is measured on.
        selection_pairs: other pairs, on which the layer split is chosen.
        motion_sources: sources of motion transfer.
        motion_drivings: the clips that drive them.
        probe_clips: clips in random poses, for probes.
        mixed_probe_clips: the same poses of faces mixed from two, each layer moved by itself; None without a domain.
        retrieval_clips: clips that all go through the same motion, for retrieval.
        readout_ws: latents for the linear readout of their factors.
    """

    pairs: Pairs
    selection_pairs: Pairs
    motion_sources: Float[Array, "n l d"]
    motion_drivings: HeldOutClips
    probe_clips: HeldOutClips
    mixed_probe_clips: HeldOutClips | None
    retrieval_clips: HeldOutClips
    readout_ws: Float[Array, "m l d"]


class _Keys(NamedTuple):
    """One key for each random choice; the order of the fields decides the bits of all held-out data."""

    pairs: Key[Array, ""]
    selection_pairs: Key[Array, ""]
    motion_sources: Key[Array, ""]
    motion_drivings: Key[Array, ""]
    motions: Key[Array, ""]
    probe_faces: Key[Array, ""]
    probe_poses: Key[Array, ""]
    retrieval_faces: Key[Array, ""]
    retrieval_motion: Key[Array, ""]
    readout: Key[Array, ""]


def held_out(model: Disentangler, animator: Animator, domain: Domain | None) -> HeldOut:
    """Sample everything that a model is evaluated on.

    Args:
        model: gives the generator and the sizes, in its `config.evaluation`.
        animator: moves the clips.
        domain: the truth about the generator's images, if there is one.
    """
    options = model.config.evaluation
    root = jax.random.fold_in(jax.random.key(options.seed), _EVALUATION)
    keys = _Keys(*jax.random.split(root, len(_Keys._fields)))
    motions = _own_motions(keys.motions, options.motion.num_clips, options.motion.num_frames, animator)
    poses_shape = (options.probes.num_faces, options.probes.num_frames, len(animator.names))
    poses = jax.random.uniform(keys.probe_poses, poses_shape, minval=-1.0)
    common = sample_moments(keys.retrieval_motion, options.retrieval.num_frames, len(animator.names))
    readout_ws = _sample(model, keys.readout, options.num_readout_faces)

    def clips(key: Key[Array, ""], motion: Float[Array, "n t k"]) -> HeldOutClips:
        return HeldOutClips(animator.animate(_sample(model, key, len(motion)), motion), motion)

    return HeldOut(
        pairs=_pairs(model, keys.pairs, options.num_pairs),
        selection_pairs=_pairs(model, keys.selection_pairs, options.num_selection_pairs),
        motion_sources=_sample(model, keys.motion_sources, options.motion.num_clips),
        motion_drivings=clips(keys.motion_drivings, motions),
        probe_clips=clips(keys.probe_faces, poses),
        mixed_probe_clips=None if domain is None else _mixed_clips(model, domain, keys.probe_faces, poses, readout_ws),
        retrieval_clips=clips(keys.retrieval_faces, jnp.tile(common[None], (options.retrieval.num_faces, 1, 1))),
        readout_ws=readout_ws,
    )


def _own_motions(key: Key[Array, ""], n: int, num_frames: int, animator: Animator) -> Float[Array, "n t k"]:
    """A motion for each of n clips."""
    return jax.vmap(lambda key: sample_loop(key, num_frames, len(animator.names)))(jax.random.split(key, n))


def _pairs(model: Disentangler, key: Key[Array, ""], n: int) -> Pairs:
    source_key, driving_key = jax.random.split(key)
    return Pairs(_sample(model, source_key, n), _sample(model, driving_key, n))


def _mixed_clips(
    model: Disentangler,
    domain: Domain,
    key: Key[Array, ""],
    motion: Float[Array, "n t k"],
    population: Float[Array, "m l d"],
) -> HeldOutClips:
    """Clips of faces mixed from two, moved layer by layer; the population gives the covariance of the latents."""
    options = model.config.clips
    ws = sample_mixed_ws(model.generator.mapping, key, len(motion), options.truncation_psi, 1.0, tuple(options.classes))
    variances, axes = jnp.linalg.eigh(jnp.cov(population[:, 0].T))
    basis = axes * jnp.sqrt(jnp.maximum(variances, 0.0))[None]
    animator = layerwise_animator(domain, basis, model.config.evaluation.motion.factor_amplitude)
    return HeldOutClips(animator.animate(ws, motion), motion)


def _sample(model: Disentangler, key: Key[Array, ""], n: int) -> Float[Array, "n l d"]:
    options = model.config.clips
    return sample_ws(model.generator.mapping, key, n, options.truncation_psi, tuple(options.classes))
