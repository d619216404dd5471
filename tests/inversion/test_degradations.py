"""What is done to pictures before an encoder sees them: nothing at strength zero, and no more than is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from disentangle_jax.configs import encoder_faces64
from disentangle_jax.inversion import degradations
from disentangle_jax.inversion.degradations import degrade

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def images():
    """Two gradients, 20 x 24: no multiple of the blocks of the compression."""
    rows, columns = jnp.linspace(-0.8, 0.8, 20), jnp.linspace(-0.5, 0.5, 24)
    one = rows[:, None, None] * jnp.array([1.0, -1.0, 0.5])[None, None] + columns[None, :, None]
    return jnp.stack([one, one[::-1]]) * 0.6


def off(**changes):
    names = ("shift", "zoom", "blur", "colour", "compression", "noise")
    return ConfigDict({"share": 1.0, **dict.fromkeys(names, 0.0), **changes})


def test_nothing_happens_without_strength_or_share(images):
    np.testing.assert_allclose(degrade(KEY, images, off()), images, atol=1e-4)
    options = encoder_faces64.get_config().degrade
    options.share = 0.0
    np.testing.assert_array_equal(degrade(KEY, images, options), images)


@pytest.mark.parametrize("name", ["shift", "zoom", "blur", "colour", "compression", "noise"])
def test_each_changes_pictures_by_itself_the_more_the_stronger_and_the_same_for_the_same_key(name, images):
    weak, strong = (degrade(KEY, images, off(**{name: most})) for most in (0.02, 0.2))
    if name == "blur":
        weak, strong = (degrade(KEY, images, off(blur=most)) for most in (0.5, 4.0))
    change = [float(jnp.abs(x - images).mean()) for x in (weak, strong)]
    assert change[0] < change[1] < 0.5
    assert change[1] > 2e-3
    again = degrade(KEY, images, off(**{name: 4.0 if name == "blur" else 0.2}))
    np.testing.assert_array_equal(strong, again)
    assert float(jnp.abs(strong).max()) <= 1.0


def test_a_shift_moves_what_is_seen_by_so_many_pixels():
    dot = np.zeros((64, 32, 32, 1), np.float32)
    dot[:, 16, 16] = 1.0
    moved = np.asarray(jax.jit(lambda x: degradations.crop(KEY, x, shift=0.1, zoom=0.0))(dot))
    mass = moved.sum((1, 2, 3))
    rows = (moved.sum((2, 3)) * np.arange(32.0)).sum(1) / mass - 16.0
    assert 2.0 < np.abs(rows).max() <= 3.2 + 1e-3
    np.testing.assert_allclose(mass, 1.0, atol=1e-3)


def test_compression_rounds_fine_detail_away_first():
    ticks, shape = np.arange(16.0), (16, 16, 16, 1)
    waves = [0.2 * np.cos(np.pi * f * (2 * ticks + 1) / 16)[:, None, None] for f in (1, 7)]
    coarse, fine = (np.broadcast_to(wave, shape).astype(np.float32) for wave in waves)
    compress = jax.jit(degradations.compress, static_argnames="most")
    kept = [np.mean(np.square(compress(KEY, x, most=0.1))) / np.mean(x**2) for x in (coarse, fine)]
    assert kept[0] > 0.7
    assert kept[1] < kept[0]
    half = np.full(shape, 0.5, np.float32)
    np.testing.assert_allclose(compress(KEY, half, most=0.01), half, atol=0.005)
