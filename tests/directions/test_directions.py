"""Directions move what they say and nothing else, whatever found them; files of them are checked."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.clips import ClipSource
from disentangle_jax.directions import Directions
from disentangle_jax.directions import unsupervised as axes
from disentangle_jax.directions.by_scorer import from_scores, hyperplanes
from disentangle_jax.directions.directions import biorthogonal
from disentangle_jax.directions.stylespace import channel_candidates, strongest, stylespace
from disentangle_jax.generators import digest

FOUR = ("a", "b", "c", "d")
SIZES: dict[str, Any] = {"channel_base": 64, "channel_max": 8}


@pytest.fixture
def another(untrained):
    """Builds a generator of its own for a test."""

    def build(channel_max=8):
        sizes: dict[str, Any] = {
            "mapping_kwargs": {"num_layers": 2},
            "synthesis_kwargs": {**SIZES, "channel_max": channel_max},
        }
        return untrained(lambda rngs: sg2.Generator(z_dim=8, w_dim=8, img_resolution=16, **sizes, rngs=rngs), seed=1)

    return build


def layers_of(generator):
    return {name: layer for name, _, layer in generator.synthesis.styled_layers()}


def normal(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def found(generator, ws, scored):
    """Directions of every source."""
    return {
        "scorer": scored[0],
        "hyperplanes": hyperplanes(ws, scored[1], FOUR, ("a", "c"), 1e-6, tail=0.2, orthogonalise=False),
        "sefa": axes.sefa(generator, ws, (0, 3), 3),
        "pca": axes.pca([ws[:, 0]], ws, (1, 3), 3),
        "random": axes.random(jax.random.key(5), ws, (1, 3), 3),
        "stylespace": stylespace(generator, ws, ["b8.conv0:2", "b8.conv0:5", "b8.conv1:0"]),
    }


SOURCES = ("scorer", "hyperplanes", "sefa", "pca", "random", "stylespace")


@pytest.mark.parametrize("source", SOURCES)
def test_coordinates_are_independent_and_in_standard_deviations(ws, found, source):
    directions = found[source]
    products = np.einsum("kld,jld->kj", directions.normals, directions.vectors)
    np.testing.assert_allclose(products, np.eye(len(directions.names)), atol=1e-4)
    np.testing.assert_allclose(np.asarray(directions.coordinates(ws)).std(0), 1.0, atol=1e-3)


@pytest.mark.parametrize("source", SOURCES)
def test_move_replaces_the_coordinates(ws, found, source):
    directions = found[source]
    wanted = jnp.asarray(normal(20, len(directions.names)))
    np.testing.assert_allclose(directions.coordinates(directions.move(ws[:20], wanted)), wanted, atol=1e-4)


def test_a_scored_direction_leaves_the_other_scores(ws, weights, scored):
    directions, scores = scored[0], np.asarray(scored[1])
    moved = directions.move(ws[:20], directions.coordinates(ws[:20]) + np.array([[1.0, 0.0]], np.float32))
    change = np.asarray(moved).reshape(20, -1) @ weights - scores[:20]
    np.testing.assert_allclose(change[:, 0], scores[:, 0].std(), rtol=0.02)
    np.testing.assert_allclose(change[:, 1:], 0.0, atol=0.02 * float(scores.std()))


def test_wanted_scores_must_exist(ws):
    with pytest.raises(ValueError, match="no scores for smile: the scorer reads a, b"):
        from_scores(ws, jnp.asarray(np.zeros((len(ws), 2))), ("a", "b"), ("smile",), ridge=1.0)


def test_scores_that_cannot_be_told_apart_are_refused(ws, weights):
    scores = np.asarray(ws).reshape(len(ws), -1) @ weights
    same = jnp.asarray(np.concatenate([scores, 2.0 * scores[:, 1:2]], axis=1))
    with pytest.raises(ValueError, match="factors a, b, c, d, e depend on each other, b and e most"):
        from_scores(ws, same, tuple("abcde"), ("a",), ridge=1e-2)
    with pytest.raises(ValueError, match="4 samples do not tell 4 factors apart"):
        from_scores(ws[:4], jnp.asarray(scores[:4]), tuple("abcd"), ("a",), ridge=1e-2)


@pytest.fixture(scope="module")
def isotropic():
    """Latents without correlations, and two scores that depend on known, oblique weights."""
    ws, weights = normal(3000, 3, 4), np.zeros((12, 2), np.float32)
    weights[5, 0], weights[5, 1], weights[7, 1] = 1.0, 0.6, 0.8
    return jnp.asarray(ws), jnp.asarray(ws.reshape(3000, 12) @ weights), weights.T


@pytest.mark.parametrize("tail", [None, 0.2, 0.5])
def test_hyperplanes_have_the_normals_that_split_the_scores(isotropic, tail):
    ws, scores, weights = isotropic
    for column, name in enumerate(("x", "y")):
        directions = hyperplanes(ws, scores, ("x", "y"), (name,), 1e-3, tail=tail, orthogonalise=False)
        unit = np.asarray(directions.vectors).reshape(12)
        assert unit @ weights[column] / np.linalg.norm(unit) > 0.99


@pytest.mark.parametrize("tail", [None, 0.5])
def test_orthogonalised_hyperplanes_leave_all_other_scores(isotropic, tail):
    ws, scores, weights = isotropic

    def effects(orthogonalise):
        directions = hyperplanes(ws, scores, ("x", "y"), ("x",), 1e-3, tail=tail, orthogonalise=orthogonalise)
        return weights @ np.asarray(directions.vectors).reshape(12)

    plain, apart = effects(False), effects(True)
    assert plain[1] / plain[0] == pytest.approx(0.6, abs=0.05)
    assert abs(apart[1] / apart[0]) < 0.05


@pytest.mark.parametrize("tail", [0.0, 0.7])
def test_tails_are_a_share_of_at_most_one_half(isotropic, tail):
    ws, scores, _ = isotropic
    with pytest.raises(ValueError, match=f"tail={tail} must lie in"):
        hyperplanes(ws, scores, ("x", "y"), ("x",), 1e-3, tail=tail, orthogonalise=False)


def test_axes_stay_in_their_layers_and_are_as_many_as_there_can_be(generator, ws):
    outside = np.asarray(axes.sefa(generator, ws, (1, 3), 2).vectors)[:, [0, 4, 5]]
    np.testing.assert_array_equal(outside, 0.0)
    with pytest.raises(ValueError, match="layers"):
        axes.sefa(generator, ws, (2, 9), 2)
    with pytest.raises(ValueError, match="9 directions were asked for: there are between 1 and 8"):
        axes.random(jax.random.key(0), ws, (0, 5), 9)


def test_sefa_finds_the_axis_that_the_styles_follow(another, ws):
    generator = another()
    for name in ("b8", "b16"):
        weight = getattr(generator.synthesis, name).conv0.affine.weight
        values = np.float32(0.01) * np.asarray(weight[...])
        values[:, 5] += 1.0
        weight[...] = jnp.asarray(values)
    axis = np.asarray(axes.sefa(generator, ws, (1, 1), 1).vectors)[0, 1]
    assert np.argmax(np.abs(axis)) == 5


def test_sefa_takes_eigenvectors_of_the_layers_weights(generator, ws):
    b8 = generator.synthesis.b8
    a = np.concatenate([np.asarray(layer.affine.weight[...]) for layer in (b8.conv0, b8.conv1)])
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(a.T @ a)
    mine = np.asarray(axes.sefa(generator, ws, (1, 2), 3).vectors)[:, 1]
    cosines = np.abs(mine @ vectors[:, ::-1][:, :3]) / np.linalg.norm(mine, axis=1, keepdims=True)
    np.testing.assert_allclose(cosines, np.eye(3), atol=1e-3)


def test_pca_of_a_stream_is_that_of_all_samples(ws):
    w = np.asarray(ws)[:, 0] * np.linspace(0.1, 1.0, 8, dtype=np.float32)[None] + 100.0  # far from 0: no cancellation
    stream = (jnp.asarray(w[start : start + 700]) for start in range(0, 3000, 700))
    streamed = axes.covariance(stream)
    np.testing.assert_allclose(streamed, np.cov(w.astype(np.float64).T), rtol=1e-4, atol=1e-5 * streamed.max())
    values, vectors = np.linalg.eigh(np.cov(w.T))
    directions = axes.pca([jnp.asarray(w[:1000]), jnp.asarray(w[1000:])], ws, (0, 0), 2)
    mine = np.asarray(directions.vectors)[:, 0]
    cosines = np.abs(mine @ vectors[:, ::-1][:, :2]) / np.linalg.norm(mine, axis=1, keepdims=True)
    assert values[-1] > 1.2 * values[-2]
    np.testing.assert_allclose(cosines, np.eye(2), atol=1e-2)
    with pytest.raises(ValueError, match="at least two samples"):
        axes.covariance([])


def test_random_axes_are_orthonormal_and_follow_their_key(ws):
    def unit(seed):
        vectors = np.asarray(axes.random(jax.random.key(seed), ws, (1, 2), 4).vectors)[:, 1]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    one, other = unit(0), unit(1)
    np.testing.assert_allclose(one @ one.T, np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(one, unit(0))
    assert np.abs(one - other).max() > 0.1


def test_a_stylespace_direction_changes_exactly_one_channel(generator, ws, found):
    directions = found["stylespace"]
    assert {name: row for name, row, _ in generator.synthesis.styled_layers()}["b8.conv1"] == 2
    moved = directions.move(ws, directions.coordinates(ws) + np.array([[0.0, 2.0, 0.0]], np.float32))
    styles = jax.jit(lambda synthesis, ws: synthesis.styles(ws))
    before, after = (jax.device_get(styles(generator.synthesis, latents)) for latents in (ws, moved))
    after = {name: values[:5] for name, values in after.items()}
    change = after["b8.conv0"] - before["b8.conv0"][:5]
    np.testing.assert_allclose(np.abs(change[:, 5]), 2.0 * before["b8.conv0"][:, 5].std(), rtol=1e-3)
    np.testing.assert_allclose(np.delete(change, 5, axis=1), 0.0, atol=1e-4)
    for name in before.keys() - {"b8.conv0", "b4.torgb"}:  # the latter is fed by the same w
        np.testing.assert_array_equal(after[name], before[name][:5])


def test_where_channels_outnumber_w_a_stylespace_direction_is_the_least_squares_one(another, ws):
    generator = another(channel_max=16)
    weight = np.asarray(layers_of(generator)["b4.conv1"].affine.weight[...])
    channel = np.argmax(np.diag(weight @ np.linalg.pinv(weight)))  # the one that w can move most by itself
    vector = np.asarray(stylespace(generator, ws, [f"b4.conv1:{channel}"]).vectors)[0, 0]
    change = weight @ vector
    wanted = np.linalg.lstsq(weight, np.eye(len(weight))[channel], rcond=None)[0]
    assert vector @ wanted / np.linalg.norm(vector) / np.linalg.norm(wanted) > 0.9999
    assert np.argmax(np.abs(change)) == channel


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (["b5.conv0:1"], "no layer 'b5.conv0'.*b4.conv1, b4.torgb, b8.conv0"),
        (["b8.conv0:99"], "say b8.conv0:0 to b8.conv0:7"),
        (["b8.conv0"], "say b8.conv0:0"),
        (["b8.conv0:1", "b8.conv0:1"], "depend on each other"),
    ],
)
def test_channels_that_are_not_there_are_named(generator, ws, channels, message):
    with pytest.raises(ValueError, match=message):
        stylespace(generator, ws, channels)


def test_candidate_channels_are_those_that_move_their_layer_most(another, ws):
    generator = another()
    weight = layers_of(generator)["b8.conv1"].weight
    values = np.array(weight[...])
    values[:, 6] *= 20.0
    weight[...] = jnp.asarray(values)
    assert strongest(generator, ws, (2, 2), 1) == ["b8.conv1:6"]
    assert not [name for name in strongest(generator, ws, (3, 5), 99) if name.startswith(("b4", "b8.conv"))]
    candidates = channel_candidates(generator, ws, (), (2, 2), 8)
    assert len(candidates.names) == 8
    np.testing.assert_allclose(np.asarray(candidates.coordinates(ws)).std(0), 1.0, atol=1e-3)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 0.0], [0.0, 0.0]], "no direction can be made of y"),
        ([[1.0, np.nan], [0.0, 1.0]], "no direction can be made of x"),
        ([[1.0, 0.0], [-2.0, 0.0]], "x, y depend on each other"),
    ],
)
def test_what_makes_no_directions_is_refused(vectors, message):
    columns = np.asarray(vectors)[:, None, :]
    with pytest.raises(ValueError, match=message):
        biorthogonal(columns, columns, jnp.asarray(normal(50, 1, 2)), ("x", "y"))


def test_a_direction_along_which_nothing_varies_has_no_scale():
    ws = jnp.asarray(normal(50, 1, 2) * np.array([1.0, 0.0], np.float32))
    vectors = np.eye(2)[:, None, :]
    with pytest.raises(ValueError, match="do not vary along y"):
        biorthogonal(vectors, vectors, ws, ("x", "y"))


def test_select_keeps_the_chosen_in_order(found):
    chosen = found["sefa"].select([2, 0])
    assert chosen.names == ("sefa_2", "sefa_0")
    np.testing.assert_array_equal(chosen.normals[0], found["sefa"].normals[2])


def test_directions_are_saved_whole_with_what_they_are(tmp_path, generator, found):
    path = tmp_path / "directions.safetensors"
    own = Directions(**{**vars(found["pca"]), "source": "pca", "generator": digest(generator)})
    own.save(path)
    again = Directions.load(path)
    assert (again.names, again.source, again.generator) == (own.names, "pca", digest(generator))
    np.testing.assert_array_equal(again.vectors, own.vectors)
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["directions"])
    assert (about["space"], about["layers"]) == ("W+", [1, 3])
    np.testing.assert_allclose(
        about["scale"], np.linalg.norm(np.asarray(own.vectors).reshape(3, -1), axis=1), rtol=1e-4
    )


def test_damaged_directions_are_named(tmp_path, scored):
    path = tmp_path / "directions.safetensors"
    scored[0].save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        Directions.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normals": np.full((2, 6, 8), np.nan)}, "not finite"),
        ({"normals": np.zeros((3, 6, 8))}, "do not fit its 2 directions"),
        ({"more": np.zeros(3)}, "do not fit its 2 directions"),
    ],
)
def test_directions_that_do_not_fit_together_are_refused(tmp_path, scored, change, message):
    path = tmp_path / "directions.safetensors"
    scored[0].save(path)
    values, about = arrays.load(path, "directions")
    arrays.save(path, values | change, directions=about)
    with pytest.raises(ValueError, match=message):
        Directions.load(path)


def test_directions_of_another_generator_are_refused(generator, another, clip_config, scored):
    other = another()
    own = Directions(**{**vars(scored[0]), "generator": digest(generator)})
    own.check(generator)
    with pytest.raises(ValueError, match=f"its digest is {digest(generator)}, this one's is {digest(other)}"):
        ClipSource.create(other, own, clip_config)


def test_directions_say_what_they_are(scored):
    assert repr(scored[0]) == "Directions(2 in W+ [6, 8], by unknown: a, c)"
