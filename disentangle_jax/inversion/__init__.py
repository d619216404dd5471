"""From pictures to latents."""

from disentangle_jax.inversion.portraits import align, paste
from disentangle_jax.inversion.published import (
    ArcFace,
    Encoder,
    csim,
    from_state_dict,
    load_arcface,
    load_encoder,
)

__all__ = ["ArcFace", "Encoder", "align", "csim", "from_state_dict", "load_arcface", "load_encoder", "paste"]
