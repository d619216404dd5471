"""The autoencoder that splits latent codes into appearance and structure, and the losses that make it do so."""

from disentangle_jax.model.autoencoder import Autoencoder, Codes

__all__ = ["Autoencoder", "Codes"]
