"""Footage as codes: all that a transfer needs of a face, a kilobyte for each frame."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion.pieces import progress
from disentangle_jax.latents import sample_ws
from disentangle_jax.reenactment.footage import Footage

_FACES = 512  # that tell how much structure codes vary


class Encoded(NamedTuple):
    """Codes of footage.

    Attributes:
        model: its generator draws the face.
        appearance, structure: codes of t frames; t is 1 for a single face.
        is_clip: whether it is a clip.
        psnr: of the inversions in dB, for each frame; None if the latents did not come from pictures.
        deviations: distance of the inverted latents to the mean in standard deviations, likewise.
    """

    model: Disentangler
    appearance: Float[np.ndarray, "t a"]
    structure: Float[np.ndarray, "t s"]
    is_clip: bool
    psnr: Float[np.ndarray, "t"] | None
    deviations: Float[np.ndarray, "t"] | None


def encode(footage: Footage) -> Encoded:
    """Encode all frames; pictures are inverted first."""
    codes, psnr, deviations = [], [], []
    for piece in progress(footage.pieces(), footage.name, footage.num_frames):
        codes.append(jax.device_get(footage.model.encode(piece.ws)))
        psnr.append(piece.psnr)
        deviations.append(piece.deviations)
    appearance, structure = (np.concatenate(parts) for parts in zip(*codes, strict=True))
    psnr, deviations = (None if parts[0] is None else np.concatenate(parts) for parts in (psnr, deviations))
    return Encoded(footage.model, appearance, structure, footage.num_frames is not None, psnr, deviations)


def structure_scale(model: Disentangler) -> Float[np.ndarray, "s"]:
    """The standard deviation of structure codes among faces, at least a hundredth of the mean one."""
    classes = tuple(model.config.clips.classes)
    faces = sample_ws(model.generator.mapping, jax.random.key(0), _FACES, 1.0, classes)
    spread = np.std(np.asarray(model.encode(faces).structure), axis=0)
    return np.maximum(spread, 0.01 * spread.mean() + np.finfo(np.float32).tiny)
