"""Reading and writing of networks. One module for each format; `load` detects the format of a file."""

from stylegan2_flax.checkpoints.load import load
from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.rosinality import save_rosinality, to_rosinality
from stylegan2_flax.checkpoints.safetensors import save
from stylegan2_flax.checkpoints.state_dict import from_state_dict, to_state_dict

__all__ = [
    "CheckpointError",
    "from_state_dict",
    "load",
    "save",
    "save_rosinality",
    "to_rosinality",
    "to_state_dict",
]
