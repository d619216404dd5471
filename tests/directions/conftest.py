"""A small generator, faces of it, and directions that are known to move four scores of them."""

import jax
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.clips import ClipSource
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.latents import sample_mixed_ws


@pytest.fixture(scope="session")
def generator() -> sg2.Generator:
    sizes = {"channel_base": 64, "channel_max": 8}
    return sg2.Generator(
        z_dim=8, w_dim=8, img_resolution=16, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=sizes, rngs=nnx.Rngs(0)
    )


@pytest.fixture(scope="session")
def ws(generator):
    return sample_mixed_ws(generator.mapping, jax.random.key(1), 3000, truncation_psi=1.0, style_mixing=0.9)


@pytest.fixture(scope="session")
def scored(ws):
    scores = ws.reshape(len(ws), -1) @ jax.random.normal(jax.random.key(2), (48, 4))
    return from_scores(ws, scores, ("a", "b", "c", "d"), ("a", "c"), ridge=1e-6), scores


@pytest.fixture(scope="session")
def source(generator, scored, clip_config):
    return ClipSource.create(generator, scored[0], clip_config)
