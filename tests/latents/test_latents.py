"""Directions move what they say and nothing else; clips are pure functions of a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.latents import Clip, ClipSource, Directions, Recipe, sample_clip, sample_faces, trajectories
from disentangle_jax.latents import directions as find

RECIPE = Recipe(
    length=16,
    num_frames=4,
    trajectories=("sinusoid", "random_walk"),
    amplitude=1.0,
    truncation_psi=1.0,
    style_mixing=0.5,
    mix_from=4,
    change_face=0.5,
)


@pytest.fixture(scope="module")
def generator() -> sg2.Generator:
    sizes = {"channel_base": 64, "channel_max": 8}
    return sg2.Generator(
        z_dim=8, w_dim=8, img_resolution=16, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=sizes, rngs=nnx.Rngs(0)
    )


@pytest.fixture(scope="module")
def ws(generator):
    nowhere = Directions(jnp.zeros((0, 6, 8)), jnp.zeros((0, 6, 8)), jnp.zeros((6, 8)), ())
    source = ClipSource.create(generator, nowhere, RECIPE._replace(style_mixing=0.9))
    return sample_faces(source, jax.random.key(1), 3000)


@pytest.fixture(scope="module")
def scored(ws):
    scores = ws.reshape(len(ws), -1) @ jax.random.normal(jax.random.key(2), (48, 4))
    return find.from_scores(ws, scores, ("a", "b", "c", "d"), ("a", "c"), ridge=1e-6), scores


@pytest.fixture(scope="module")
def source(generator, scored):
    return ClipSource.create(generator, scored[0], RECIPE)


def _all_directions(generator, ws, scored):
    return [scored[0], find.sefa(generator, ws, (0, 3), 3), find.pca(ws[:, 0], ws, (1, 3), 3)]


def test_coordinates_are_independent_and_in_standard_deviations(generator, ws, scored):
    for directions in _all_directions(generator, ws, scored):
        products = jnp.einsum("kld,jld->kj", directions.normals, directions.vectors)
        np.testing.assert_allclose(products, np.eye(len(directions.names)), atol=1e-4)
        np.testing.assert_allclose(directions.coordinates(ws).std(0), 1.0, atol=1e-3)


def test_move_replaces_the_coordinates(generator, ws, scored):
    for directions in _all_directions(generator, ws, scored):
        wanted = jax.random.normal(jax.random.key(3), (20, len(directions.names)))
        np.testing.assert_allclose(directions.coordinates(directions.move(ws[:20], wanted)), wanted, atol=1e-4)


def test_a_scored_direction_leaves_the_other_scores(ws, scored):
    directions, scores = scored
    weights = jax.random.normal(jax.random.key(2), (48, 4))
    moved = directions.move(ws[:50], directions.coordinates(ws[:50]) + jnp.array([[1.0, 0.0]]))
    change = moved.reshape(50, -1) @ weights - scores[:50]
    np.testing.assert_allclose(change[:, 0], scores[:, 0].std(), rtol=0.02)
    np.testing.assert_allclose(change[:, 1:], 0.0, atol=0.02 * float(scores.std()))


def test_unsupervised_directions_stay_in_their_layers(generator, ws):
    outside = find.sefa(generator, ws, (1, 3), 2).vectors[:, np.array([0, 4, 5])]
    np.testing.assert_array_equal(outside, 0.0)
    with pytest.raises(ValueError, match="layers"):
        find.sefa(generator, ws, (2, 9), 2)


def test_sefa_finds_the_axis_that_the_styles_follow(ws):
    sizes = {"channel_base": 64, "channel_max": 8}
    generator = sg2.Generator(z_dim=8, w_dim=8, img_resolution=16, synthesis_kwargs=sizes, rngs=nnx.Rngs(1))
    for name in ("b8", "b16"):
        weight = getattr(generator.synthesis, name).conv0.affine.weight
        weight[...] = 0.01 * weight[...] + jnp.zeros_like(weight[...]).at[:, 5].set(1.0)
    axis = find.sefa(generator, ws, (1, 1), 1).vectors[0, 1]
    assert int(jnp.argmax(jnp.abs(axis))) == 5


def test_directions_are_saved_whole_and_damage_is_named(tmp_path, scored):
    path = tmp_path / "directions.safetensors"
    scored[0].save(path)
    again = Directions.load(path)
    assert again.names == ("a", "c")
    np.testing.assert_array_equal(again.vectors, scored[0].vectors)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        Directions.load(path)


def test_wanted_scores_must_exist(ws):
    with pytest.raises(ValueError, match="no scores for smile: the scorer reads a, b"):
        find.from_scores(ws, jnp.zeros((len(ws), 2)), ("a", "b"), ("smile",), ridge=1.0)


@pytest.mark.parametrize("family", sorted(trajectories.FAMILIES))
def test_trajectories_have_mean_zero_and_variance_one_at_every_time(family):
    keys = jax.random.split(jax.random.key(0), 3000)
    paths = jax.vmap(lambda key: trajectories.FAMILIES[family](key, 12, 2))(keys)
    np.testing.assert_allclose(paths.mean((0, 2)), 0.0, atol=0.06)
    np.testing.assert_allclose(paths.std((0, 2)), 1.0, atol=0.04)
    steps = jnp.abs(jnp.diff(paths, axis=1)).mean()
    assert float(steps) < 0.9  # they move, but smoothly: independent draws would step by 1.13 on average


def test_random_walks_stay_within_their_bound():
    paths = jax.vmap(lambda key: trajectories.random_walk(key, 50, 3))(jax.random.split(jax.random.key(1), 500))
    assert float(jnp.abs(paths).max()) <= np.sqrt(3.0) + 1e-5


def test_unknown_trajectories_are_refused():
    with pytest.raises(ValueError, match="unknown trajectory \\['teleport'\\]; choose from sinusoid, random_walk"):
        trajectories.mixture(jax.random.key(0), 8, 2, ("sinusoid", "teleport"))


def _clips(source: ClipSource, n: int) -> Clip:
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(4), jnp.arange(n))
    return jax.jit(jax.vmap(sample_clip, (None, 0)))(source, keys)


def test_clips_and_their_augmentations_follow_the_coefficients(source):
    clips = _clips(source, 50)
    for ws in (clips.ws, clips.augmented):
        np.testing.assert_allclose(source.directions.coordinates(ws), clips.coefficients, atol=1e-4)


def test_nothing_but_the_motion_changes_within_a_clip(source):
    clips = _clips(source, 20)
    still = source.directions.move(clips.ws, jnp.zeros_like(clips.coefficients))
    np.testing.assert_allclose(still, jnp.broadcast_to(still[:, :1], still.shape), atol=1e-4)


def test_augmentations_keep_coarse_layers_or_change_the_face(source):
    clips = _clips(source, 50)
    # What differs in the coarse layers may only be a move along the directions, which restores the coordinates.
    axes = np.asarray(source.directions.vectors[:, : RECIPE.mix_from]).reshape(2, -1).T
    change = np.asarray(clips.augmented - clips.ws)[:, :, : RECIPE.mix_from].reshape(200, -1).T
    rest = change - axes @ np.linalg.lstsq(axes, change, rcond=None)[0]
    coarse = np.abs(rest).max(0) < 1e-3
    assert 0.3 < float(coarse.mean()) < 0.7  # change_face is one half


def test_a_clip_does_not_depend_on_its_batch(source):
    many, few = _clips(source, 8), _clips(source, 3)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:3], b), many, few)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"num_frames": 20}, "16 frames has no 20"), ({"mix_from": 0}, "mix_from=0"), ({"mix_from": 6}, "mix_from=6")],
)
def test_impossible_recipes_are_refused(generator, scored, change, message):
    with pytest.raises(ValueError, match=message):
        ClipSource.create(generator, scored[0], RECIPE._replace(**change))


def test_directions_of_another_generator_are_refused(generator):
    alien = Directions(jnp.zeros((1, 4, 8)), jnp.zeros((1, 4, 8)), jnp.zeros((4, 8)), ("x",))
    with pytest.raises(ValueError, match=r"W\+ \(4, 8\)"):
        ClipSource.create(generator, alien, RECIPE)
