"""Networks that others published, from their PyTorch checkpoints, read as data: pSp, e4e, ReStyle and ArcFace.

Attribute paths are the names in these checkpoints (`body.3.res_layer.1.weight`) and arrays keep torch's layout, so a
state dict loads as it is. Activations are [n, h, w, c].
"""

from disentangle_jax.inversion.published.arcface import ArcFace, csim, load_arcface
from disentangle_jax.inversion.published.checkpoint import load_encoder
from disentangle_jax.inversion.published.encoder import Encoder, from_state_dict

__all__ = ["ArcFace", "Encoder", "csim", "from_state_dict", "load_arcface", "load_encoder"]
