"""A tiny generator, with noise that counts, and images of it."""

from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.latents import sample_mixed_ws
from stylegan2_flax.layers import SynthesisLayer

W_DIM, SIZE = 8, 8
WRITERS = Path(__file__).parents[1] / "stylegan2_flax" / "checkpoints" / "writers.py"


@pytest.fixture(scope="session")
def writers(load_module) -> ModuleType:
    """The layouts of torch.save, written without torch."""
    return load_module(WRITERS)


@pytest.fixture(scope="session")
def generator():
    @jax.jit
    def build(key):
        sizes: dict[str, Any] = {
            "mapping_kwargs": {"num_layers": 2},
            "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
        }
        network = sg2.Generator(8, 0, W_DIM, SIZE, **sizes, rngs=nnx.Rngs(key))
        for name, _, layer in network.synthesis.styled_layers():
            if name == "b8.conv1" and isinstance(layer, SynthesisLayer):
                layer.noise_strength.set_value(jnp.float32(0.1))
        return network

    return build(jax.random.key(0))


@pytest.fixture(scope="session")
def ws(generator):
    return np.asarray(
        jax.jit(lambda mapping: sample_mixed_ws(mapping, jax.random.key(1), 5, 1.0, 1.0))(generator.mapping)
    )


@pytest.fixture(scope="session")
def images(generator, ws):
    return np.asarray(jax.jit(generator.synthesis)(ws))
