"""Latents of random faces, of any generator."""

from functools import cache, partial

import jax
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.latents import sample_labels, sample_mixed_ws, sample_w_batches, sample_ws

LAYERS, DIM = 4, 8


@cache
def mapping(c_dim=0):
    build = jax.jit(lambda key: sg2.MappingNetwork(DIM, c_dim, DIM, LAYERS, num_layers=1, rngs=nnx.Rngs(key)))
    return build(jax.random.key(0))


@pytest.mark.parametrize("c_dim", [0, 3])
def test_faces_are_the_same_in_every_number_and_of_one_w(c_dim):
    ws = sample_ws(mapping(c_dim), jax.random.key(1), 70, 0.7)
    assert ws.shape == (70, LAYERS, DIM)
    np.testing.assert_array_equal(ws, np.broadcast_to(ws[:, :1], ws.shape))
    np.testing.assert_allclose(ws[:5], sample_ws(mapping(c_dim), jax.random.key(1), 5, 0.7), atol=1e-6)


@pytest.mark.parametrize("c_dim", [0, 3])
def test_mixed_faces_change_at_one_layer(c_dim):
    for share, most in ((0.0, 0), (1.0, 1)):
        sample = jax.jit(partial(sample_mixed_ws, n=50, truncation_psi=1.0, style_mixing=share))
        ws = np.asarray(sample(mapping(c_dim), jax.random.key(1)))
        changes = np.any(ws[:, 1:] != ws[:, :-1], axis=2).sum(1)
        np.testing.assert_array_equal(changes, most)


def test_labels_come_from_the_classes_that_are_asked_for():
    labels = sample_labels(mapping(3), jax.random.key(0), 200, (0, 2))
    assert labels is not None
    assert set(np.argmax(labels, axis=1).tolist()) == {0, 2}
    np.testing.assert_array_equal(np.sum(labels, axis=1), 1.0)
    every = sample_labels(mapping(3), jax.random.key(0), 200, ())
    assert every is not None
    assert set(np.argmax(every, axis=1).tolist()) == {0, 1, 2}
    assert sample_labels(mapping(), jax.random.key(0), 200, ()) is None


def test_a_face_of_one_class_is_what_the_mapping_makes_of_it():
    network, key = mapping(3), jax.random.key(5)
    z = jax.random.normal(key, (2, DIM))
    expected = network(z, jax.nn.one_hot(np.array([2, 2]), 3))
    np.testing.assert_allclose(sample_ws(network, key, 2, 1.0, (2,)), expected, atol=1e-6)
    batches = list(sample_w_batches(network, key, 5000, 1.0, (2,)))
    assert [len(batch) for batch in batches] == [4096, 904]


@pytest.mark.parametrize(
    ("c_dim", "message"), [(3, "no class 7: this generator has the classes 0 to 2"), (0, "it has no classes")]
)
def test_a_class_that_does_not_exist_is_refused(c_dim, message):
    with pytest.raises(ValueError, match=message):
        sample_ws(mapping(c_dim), jax.random.key(0), 2, 1.0, (7,))
