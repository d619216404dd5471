"""Directions of the latent space, ways to find them, their ranking. Importing `Directions` imports none of these."""

from disentangle_jax.directions.directions import Directions

__all__ = ["Directions"]
