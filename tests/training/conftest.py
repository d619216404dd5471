"""A small world to train in: Gaussian latents of four layers, moved along two directions; tiny sizes everywhere."""

import runpy
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

LAYERS, W_DIM, DIRECTIONS, FRAMES = 4, 8, 2, 3
CONFIG = Path(__file__).parents[2] / "experiments" / "configs" / "faces64.py"


class Clip(NamedTuple):
    ws: jax.Array
    augmented: jax.Array
    coefficients: jax.Array


def sample_clip(source, key):
    keys = jax.random.split(key, 3)
    base = jax.random.normal(keys[0], (LAYERS, W_DIM))
    coefficients = jax.random.normal(keys[1], (FRAMES, DIRECTIONS))
    ws = base[None] + jnp.einsum("tk,kld->tld", coefficients, source)
    fine = jax.random.normal(keys[2], (W_DIM,))[None, None]
    return Clip(ws, ws.at[:, 2:].add(jnp.broadcast_to(fine, (FRAMES, 2, W_DIM))), coefficients)


@pytest.fixture(scope="session")
def world():
    """What `loop.train` takes behind config and workdir: sample_clip, source, mean, std."""
    source = jax.random.normal(jax.random.key(1), (DIRECTIONS, LAYERS, W_DIM))
    return sample_clip, source, jnp.zeros((LAYERS, W_DIM)), jnp.ones((LAYERS, W_DIM))


def make_config():
    config = runpy.run_path(str(CONFIG))["get_config"]("demo")
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=1)
    config.optimizer.update(warmup_steps=3, learning_rate=1e-2)
    config.train.update(batch_size=8, num_steps=10, log_every=2, checkpoint_every=5)
    return config


@pytest.fixture
def config():
    return make_config()


@pytest.fixture(scope="module")
def module_config():
    """The same, not to be changed."""
    return make_config()
