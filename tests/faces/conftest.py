"""Pictures of faces and of the bundled generator: 32 at a time, as programs are compiled anew for every shape."""

import jax
import numpy as np
import pytest

from disentangle_jax import faces
from disentangle_jax.batching import in_batches
from disentangle_jax.faces.factors import APPEARANCE
from disentangle_jax.generators import load_generator

BATCH = 32


@pytest.fixture(scope="session")
def pictures():
    """Draws faces by their factors [n, 16]."""

    def draw(values, **options):
        parts = np.split(np.asarray(values, np.float32), [len(APPEARANCE)], axis=1)
        return in_batches(lambda *factors: faces.render(faces.Factors(*factors), **options), BATCH, *parts)

    return draw


@pytest.fixture(scope="session")
def bundled():
    """The bundled generator, which is not to be changed."""
    return load_generator("faces64")


@pytest.fixture(scope="session")
def sample_ws(bundled):
    """Latents of the bundled generator: by a seed, so many."""
    mapping = jax.jit(lambda network, z: network(z))
    return lambda seed, n: mapping(bundled.mapping, normal(seed, n, bundled.z_dim))


@pytest.fixture(scope="session")
def draw(bundled):
    """What the bundled generator draws of latents."""
    synthesis = jax.jit(lambda network, ws: network(ws))
    return lambda ws: in_batches(lambda part: synthesis(bundled.synthesis, part), BATCH, ws)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
