"""Disentangling appearance and structure of GAN latents by contrastive learning on synthetic videos."""

from disentangle_jax import faces, inversion
from disentangle_jax.disentangler import Disentangler

__version__ = "0.2.0"

__all__ = ["Disentangler", "faces", "inversion"]
