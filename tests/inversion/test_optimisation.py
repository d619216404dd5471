"""Optimisation finds what the generator itself drew, within bounds, in one program for all batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.configs import inversion
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.inversion.optimisation import optimise

TRACES = []


def distance(images, targets):
    """The loss's other part here; it notes when it is traced."""
    TRACES.append(images.shape)
    return jnp.mean(jnp.abs(images - targets), axis=(1, 2, 3))


@pytest.fixture(scope="module")
def space(generator):
    return LatentSpace.of(generator.mapping)


@pytest.fixture
def settings():
    config = inversion.get_config()
    config.optimise.steps, config.refine.steps, config.batch_size, config.candidates = 60, 20, 2, 8
    return config


def run(images, generator, settings, space, *args, **options):
    return optimise(images, generator, settings, *args, distance=distance, space=space, **options)


def test_images_of_the_generator_are_found_by_one_program_for_all_batches(generator, images, ws, space, settings):
    TRACES.clear()
    found = run(images, generator, settings, space)
    assert len(TRACES) == 1
    assert found.ws.shape == ws.shape
    assert found.psnr.min() > 25
    np.testing.assert_allclose(found.images, jax.jit(generator.synthesis)(found.ws), atol=1e-5)
    np.testing.assert_allclose(found.deviations, space.deviations(found.ws), rtol=1e-5)
    assert found.noise["b16.conv1"].shape == (5, 16, 16)
