"""Disentangling appearance and structure of GAN latents by contrastive learning on synthetic videos."""

import stylegan2_flax  # noqa: F401, before all else: it sees to Ctrl-C while a command imports
from disentangle_jax import faces, inversion
from disentangle_jax.disentangler import Disentangler

__version__ = "0.2.0"

__all__ = ["Disentangler", "faces", "inversion"]
