"""StyleGAN2 in Flax NNX: an independent implementation that loads and saves weights under NVIDIA's names.

import stylegan2_flax as sg2
generator = sg2.load("generator.safetensors")
images = generator(z, truncation_psi=0.7)
"""

from stylegan2_flax import ops
from stylegan2_flax.checkpoints import from_state_dict, load, save, to_state_dict
from stylegan2_flax.layers import Buffer
from stylegan2_flax.networks import Generator, MappingNetwork, SynthesisNetwork

__all__ = [
    "Buffer",
    "Generator",
    "MappingNetwork",
    "SynthesisNetwork",
    "from_state_dict",
    "load",
    "ops",
    "save",
    "to_state_dict",
]
