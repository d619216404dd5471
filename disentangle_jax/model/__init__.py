"""The autoencoder, which splits latents into appearance and structure, and its losses."""

from disentangle_jax.model.autoencoder import Autoencoder, Codes

__all__ = ["Autoencoder", "Codes"]
