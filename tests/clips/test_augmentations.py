"""Each augmentation changes what it says, and nothing that it should leave."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.clips import augmentations, sample_clip
from disentangle_jax.directions.by_scorer import from_scores

T = 64
OFF = {"change_face": 0.0, "mix_layers": 0.0, "noise": 0.0, "appearance": 0.0}


@pytest.fixture(scope="module")
def appearance(ws, scored):
    return from_scores(ws, scored[1], ("a", "b", "c", "d"), ("b", "d"), ridge=1e-6)


@pytest.fixture(scope="module")
def faces(ws):
    return np.asarray(ws)


@pytest.fixture(scope="module")
def augment(source, appearance, faces, clip_config):
    """What a config makes of T faces, and of T others."""

    def run(**change):
        options = clip_config._replace(**{**OFF, **change})
        function = jax.jit(augmentations.augment, static_argnames="config")
        return function(jax.random.key(1), faces[:T], faces[T : 2 * T], options, source.stats.std, appearance)

    return run


def changed_layers(before, after):
    return np.abs(np.asarray(after) - before).max(-1) > 1e-6


def test_nothing_is_changed_where_all_is_off(augment, faces):
    augmented, changed = augment()
    np.testing.assert_array_equal(augmented, faces[:T])
    assert not changed.any()


def test_fine_layers_come_from_another_face(augment, faces, clip_config):
    layers = changed_layers(faces[:T], augment(mix_layers=1.0)[0])
    assert not layers[:, : clip_config.mix_from].any()
    assert layers[:, -1].all()
    assert 0 < layers[:, clip_config.mix_from].sum() < T  # the cut itself is drawn
    share = changed_layers(faces[:T], augment(mix_layers=0.5)[0])[:, -1].mean()
    assert 0.3 < share < 0.7


def test_another_face_takes_all_layers(augment, faces):
    augmented, changed = jax.device_get(augment(change_face=0.5))
    np.testing.assert_array_equal(augmented, np.where(changed[:, None, None], faces[T : 2 * T], faces[:T]))
    assert 0.3 < changed.mean() < 0.7


def test_noise_is_of_the_fine_layers_and_scaled_by_their_spread(augment, faces, source, clip_config):
    noise, std = np.asarray(augment(noise=0.5)[0]) - faces[:T], np.asarray(source.stats.std)
    assert not noise[:, : clip_config.mix_from].any()
    np.testing.assert_allclose(noise[:, clip_config.mix_from :].std(0) / std[clip_config.mix_from :], 0.5, rtol=0.4)


def test_appearance_moves_along_its_directions_alone(augment, appearance, scored, faces):
    moved, faces = augment(appearance=1.5)[0], jnp.asarray(faces[:T])
    np.testing.assert_allclose(scored[0].coordinates(moved), scored[0].coordinates(faces), atol=1e-3)
    moves = np.asarray(appearance.coordinates(moved)) - appearance.coordinates(faces)
    assert moves.std() == pytest.approx(1.5, rel=0.25)
    still = jnp.zeros_like(moves)
    np.testing.assert_allclose(appearance.move(moved, still), appearance.move(faces, still), atol=1e-4)


def test_clips_put_back_the_coordinates_that_augmentations_move(source, appearance, clip_config):
    change = {"noise": 1.0, "appearance": 2.0, "mix_layers": 0.5, "change_face": 0.5}
    source = replace(source, appearance=appearance, config=clip_config._replace(**change))
    clips = jax.jit(jax.vmap(sample_clip, (None, 0)))(source, jax.random.split(jax.random.key(0), 8))
    assert np.abs(np.asarray(clips.augmented) - clips.ws).mean() > 0.01
    np.testing.assert_allclose(source.directions.coordinates(clips.augmented), clips.coefficients, atol=1e-4)
