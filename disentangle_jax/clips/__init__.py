"""Synthetic latent videos: trajectories, augmentations, one clip from one key, and streams of them."""

from disentangle_jax.clips.clip import Clip, ClipSource, LatentStats, sample_clip
from disentangle_jax.clips.config import ClipConfig
from disentangle_jax.clips.from_config import build_clip_source

__all__ = ["Clip", "ClipConfig", "ClipSource", "LatentStats", "build_clip_source", "sample_clip"]
