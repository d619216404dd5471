"""From pictures to latents."""

from disentangle_jax.inversion.methods import METHODS, invert
from disentangle_jax.inversion.optimisation import Inversion, optimise
from disentangle_jax.inversion.portraits import align, paste
from disentangle_jax.inversion.published import (
    ArcFace,
    Encoder,
    csim,
    from_state_dict,
    load_arcface,
    load_encoder,
)

__all__ = [
    "METHODS",
    "ArcFace",
    "Encoder",
    "Inversion",
    "align",
    "csim",
    "from_state_dict",
    "invert",
    "load_arcface",
    "load_encoder",
    "optimise",
    "paste",
]
