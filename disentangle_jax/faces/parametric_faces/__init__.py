"""The TFDS dataset `parametric_faces`: importing this registers its builder."""

from disentangle_jax.faces.parametric_faces.parametric_faces_dataset_builder import Builder

__all__ = ["Builder"]
