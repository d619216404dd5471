"""StyleGAN2 in Flax NNX: an independent implementation that loads and saves weights under NVIDIA's names.

import stylegan2_flax as sg2
generator = sg2.load("generator.safetensors")
images = generator(z, truncation_psi=0.7)
logits = sg2.load("network.pkl", which="D")(images)
"""

from stylegan2_flax import _startup, ops  # noqa: F401, the first comes first
from stylegan2_flax.checkpoints import (
    CheckpointError,
    from_state_dict,
    load,
    save,
    save_rosinality,
    to_rosinality,
    to_state_dict,
)
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.generator import Generator
from stylegan2_flax.layers import Buffer
from stylegan2_flax.mapping import MappingNetwork
from stylegan2_flax.synthesis import SynthesisNetwork

__version__ = "0.2.0"

__all__ = [
    "Buffer",
    "CheckpointError",
    "Discriminator",
    "Generator",
    "MappingNetwork",
    "SynthesisNetwork",
    "from_state_dict",
    "load",
    "ops",
    "save",
    "save_rosinality",
    "to_rosinality",
    "to_state_dict",
]
