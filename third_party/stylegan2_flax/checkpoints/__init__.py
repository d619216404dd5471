"""Reading and writing networks. One module for each format; `load` finds out which one a file is."""

from stylegan2_flax.checkpoints.safetensors import load, save
from stylegan2_flax.checkpoints.state_dict import from_state_dict, to_state_dict

__all__ = ["from_state_dict", "load", "save", "to_state_dict"]
