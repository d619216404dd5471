"""A small generator, faces of it, and directions that are known to move four scores of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stylegan2_flax as sg2
from disentangle_jax.clips import ClipSource
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.latents import sample_mixed_ws


@pytest.fixture(scope="session")
def generator(untrained) -> sg2.Generator:
    sizes: dict[str, Any] = {
        "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
    }
    return untrained(lambda rngs: sg2.Generator(z_dim=8, w_dim=8, img_resolution=16, **sizes, rngs=rngs))


@pytest.fixture(scope="session")
def ws(generator):
    sample = jax.jit(lambda mapping: sample_mixed_ws(mapping, jax.random.key(1), 3000, 1.0, style_mixing=0.9))
    return sample(generator.mapping)


@pytest.fixture(scope="session")
def weights():
    """Of four scores that are linear in the latents."""
    return np.random.default_rng(2).normal(size=(48, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def scored(ws, weights):
    scores = jnp.asarray(np.asarray(ws).reshape(len(ws), -1) @ weights)
    return from_scores(ws, scores, ("a", "b", "c", "d"), ("a", "c"), ridge=1e-6), scores


@pytest.fixture(scope="session")
def source(generator, scored, clip_config):
    return ClipSource.create(generator, scored[0], clip_config)
