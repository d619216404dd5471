"""Everything that makes synthetic latent videos: directions, trajectories, clips."""

from disentangle_jax.latents.build import build_clip_source
from disentangle_jax.latents.clips import Clip, ClipSource, LatentStats, Recipe, sample_clip, sample_faces
from disentangle_jax.latents.directions import Directions

__all__ = [
    "Clip",
    "ClipSource",
    "Directions",
    "LatentStats",
    "Recipe",
    "build_clip_source",
    "sample_clip",
    "sample_faces",
]
