"""Directions of the latent space: what they are, where they come from, how they rank. Importing them finds none."""

from disentangle_jax.directions.directions import Directions

__all__ = ["Directions"]
