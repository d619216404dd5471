"""Ranking: the direction that moves structure alone comes first, with a scorer and without; the idle one comes last."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.directions import Directions
from disentangle_jax.directions.ranking import Ranking, by_picture, looker, rank
from disentangle_jax.scorers import Factors

SIDE = 32


@pytest.fixture(scope="module")
def world():
    """Latents whose entries are: the place of a disc (2), its brightness, the colour of the ground (2), and nothing."""
    names = ("place", "both", "colour", "idle")
    vectors = np.zeros((4, 1, 6), np.float32)
    vectors[0, 0, 0] = vectors[2, 0, 3] = vectors[3, 0, 5] = 1.0
    vectors[1, 0, 1] = vectors[1, 0, 4] = 0.7
    normals = vectors / np.sum(np.square(vectors), axis=2, keepdims=True)
    directions = Directions(jnp.asarray(vectors), jnp.asarray(normals), jnp.zeros((1, 6)), names)
    return directions, jnp.asarray(normal(48, 1, 6))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@jax.jit
def draw(ws):
    """A soft disc where the first two entries say, on a ground with a gradient of the colour that others say."""
    x = jnp.linspace(-1.0, 1.0, SIDE)
    place = 0.25 * ws[:, 0, :2, None, None]
    distance = jnp.sqrt((x[None, None, :] - place[:, 0]) ** 2 + (x[None, :, None] - place[:, 1]) ** 2)
    disc = jax.nn.sigmoid((0.4 - distance) * 20.0)[..., None] * (0.5 + 0.1 * ws[:, 0, 2])[:, None, None, None]
    ground = 0.2 * jnp.stack([ws[:, 0, 3], ws[:, 0, 4], jnp.zeros(len(ws))], axis=1)[:, None, None, :]
    return disc + ground


def by_scorer(images):
    """Its centre of mass against its corner's colour: a scorer that is right."""
    x, light = jnp.linspace(-1.0, 1.0, SIDE), images[..., 2]
    total = light.sum((1, 2))
    centre = jnp.stack([(light.sum(1) * x[None]).sum(1) / total, (light.sum(2) * x[None]).sum(1) / total], axis=1)
    return Factors(appearance=images[:, 0, 0], structure=centre)


@pytest.mark.parametrize("read", [by_scorer, by_picture])
def test_the_pure_direction_comes_first_and_the_idle_one_last(world, read):
    directions, ws = world
    look = jax.jit(lambda ws: read(draw(ws)))
    ranking = rank(directions, ws, look, "test", least_change=0.1)
    assert ranking.best(4) == [0, 1, 2, 3]
    assert ranking.best(2) == [0, 1]
    place, both, colour, idle = ranking.purity
    assert place > 0.9
    assert 0.2 < both < 0.9
    assert colour < 0.1
    assert idle < 0.01


def test_changes_are_in_standard_deviations_of_the_population():
    """On its way from -1 to 1 one of four equal and independent readings changes by 2: sqrt(4 / 4) of the spread."""
    ws = jnp.asarray(normal(4000, 1, 4))
    vectors = jnp.asarray(np.eye(4, dtype=np.float32)[:1, None])
    directions = Directions(vectors, vectors, jnp.zeros((1, 4)), ("x",))
    look = jax.jit(lambda ws: Factors(3.0 * ws[:, 0] + 7.0, ws[:, 0]))
    ranking = rank(directions, ws, look, "test", least_change=0.1)
    np.testing.assert_allclose([ranking.structure[0], ranking.appearance[0]], 1.0, rtol=0.03)
    np.testing.assert_allclose(ranking.purity[0], 1.0 / 2.01, rtol=0.05)


def test_a_way_there_and_back_counts():
    ws = jnp.asarray(np.array([[[0.0, 0.0]], [[1.0, 1.0]]], np.float32))
    vectors = jnp.asarray(np.eye(2, dtype=np.float32)[:1, None])
    directions = Directions(vectors, vectors, jnp.zeros((1, 2)), ("x",))
    ranking = rank(directions, ws, lambda ws: Factors(ws[:, 0], jnp.abs(ws[:, 0])), "test", least_change=0.1)
    np.testing.assert_allclose(ranking.structure, ranking.appearance)


def test_edges_do_not_change_with_contrast_and_brightness(world):
    images, look = np.asarray(draw(world[1])), jax.jit(by_picture)
    plain, changed = look(images), look(np.float32(0.5) * images + np.float32(0.3))
    np.testing.assert_allclose(plain.structure, changed.structure, atol=1e-3)
    assert np.abs(np.asarray(plain.appearance) - changed.appearance).max() > 0.1
    assert look(images.repeat(4, axis=1).repeat(4, axis=2)).structure.shape == (48, 16 * 16)


def test_figures_are_written_purest_first(tmp_path):
    ranking = Ranking("pictures", 8, 0.1, ("x", "y"), np.array([0.1, 0.5]), np.array([0.5, 0.1]))
    ranking.save(tmp_path / "ranking.json", ("y",))
    written = json.loads((tmp_path / "ranking.json").read_text())
    assert (written["by"], written["num_faces"], written["least_change"]) == ("pictures", 8, 0.1)
    assert [(row["name"], row["kept"]) for row in written["directions"]] == [("y", True), ("x", False)]
    assert written["directions"][0]["purity"] == round(0.25 / 0.27, 4)


def test_a_looker_draws_any_number_of_latents(generator, ws):
    look = looker(generator, lambda images: images.mean((1, 2)))
    assert look(ws[:3]).shape == (3, 3)
    np.testing.assert_allclose(look(ws[:5])[:3], look(ws[:3]), atol=1e-5)


def test_one_face_has_no_spread_and_is_refused(world):
    directions, ws = world
    with pytest.raises(ValueError, match=r"at least 2 faces \(directions\.rank_faces\); got 1"):
        rank(directions, ws[:1], lambda ws: by_picture(draw(ws)), "pictures", 0.1)
