"""The bundled domain: rendered parametric faces, whose factors are known exactly."""

from disentangle_jax.faces.factors import APPEARANCE, NAMES, STRUCTURE, Factors, sample, unstack
from disentangle_jax.faces.judge import Judge
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import Truth

__all__ = ["APPEARANCE", "NAMES", "STRUCTURE", "Factors", "Judge", "Truth", "render", "sample", "unstack"]
