"""Clips are pure functions of a key, and follow their coefficients."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.clips import Clip, ClipSource, sample_clip
from disentangle_jax.clips.clip import bounded
from disentangle_jax.directions import Directions


@jax.jit
def make(source: ClipSource, indices: jax.Array) -> Clip:
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(4), indices)
    return jax.vmap(sample_clip, (None, 0))(source, keys)


def clips_of(source: ClipSource, indices: np.ndarray | None = None) -> Clip:
    """100 clips, as arrays of NumPy."""
    return jax.device_get(make(source, jnp.asarray(np.arange(100) if indices is None else indices, jnp.uint32)))


@pytest.fixture(scope="module")
def clips(source):
    return clips_of(source)


@pytest.fixture(scope="module")
def each_clips(each_source):
    return clips_of(each_source)


@pytest.fixture(scope="module")
def offsets(source):
    return clips_of(replace(source, config=source.config._replace(coordinates="offset")))


@jax.jit
def read(directions: Directions, ws: jax.Array) -> jax.Array:
    return directions.coordinates(ws)


def coordinates(source: ClipSource, ws: np.ndarray) -> np.ndarray:
    return np.asarray(read(source.directions, ws))


@partial(jax.jit, static_argnames="each")
def to_the_mean_pose(directions: Directions, ws: jax.Array, coefficients: jax.Array, each: bool = False) -> jax.Array:
    """What remains of the frames."""
    return (directions.move_each_layer if each else directions.move)(ws, jnp.zeros_like(coefficients))


def test_clips_and_their_augmentations_follow_the_coefficients(source, clips):
    for ws in (clips.ws, clips.augmented):
        np.testing.assert_allclose(coordinates(source, ws), clips.coefficients, atol=1e-4)


@pytest.mark.parametrize("kind", ["clips", "offsets"])
def test_nothing_but_the_motion_changes_within_a_clip(source, request, kind):
    clips = request.getfixturevalue(kind)
    still = np.asarray(to_the_mean_pose(source.directions, clips.ws, clips.coefficients))
    np.testing.assert_allclose(still, np.broadcast_to(still[:, :1], still.shape), atol=1e-4)


def layers_off(source, ws, coefficients):
    """How far a layer alone, taken for a whole w, lies from the coordinates of its frame, at most and on average."""
    ws = np.asarray(ws)
    alone = np.broadcast_to(ws[..., :, None, :], (*ws.shape[:-1], *ws.shape[-2:]))  # layer l, in every layer
    off = np.abs(coordinates(source, alone) - coefficients[..., None, :])
    return off.max(), off.mean()


def test_every_layer_alone_has_the_coordinates_of_the_clip(each_source, each_clips):
    """On mixed faces too, and in the augmented frames, some of whose layers come from other faces."""
    clips = each_clips
    for ws in (clips.ws, clips.augmented):
        assert layers_off(each_source, ws, clips.coefficients)[0] < 1e-4
        together = to_the_mean_pose(each_source.directions, ws, clips.coefficients)
        assert layers_off(each_source, together, np.zeros_like(clips.coefficients))[0] < 1e-4
    faces = clips.augmented - clips.ws
    assert float(np.abs(faces[:, :, 0] - faces[:, :, -1]).max()) > 0.1  # the faces themselves are mixed


def test_layers_moved_together_keep_poses_of_their_own(each_source):
    together = replace(each_source, config=each_source.config._replace(layers="together"))
    clips = clips_of(together)
    np.testing.assert_allclose(coordinates(together, np.asarray(clips.ws)), clips.coefficients, atol=1e-4)
    assert layers_off(together, clips.ws, clips.coefficients)[1] > 0.1


def test_nothing_but_the_motion_changes_in_any_layer(each_source, each_clips):
    still = to_the_mean_pose(each_source.directions, each_clips.ws, each_clips.coefficients, each=True)
    still = np.asarray(still)
    np.testing.assert_allclose(still, np.broadcast_to(still[:, :1], still.shape), atol=1e-4)


def test_clips_can_be_restricted_to_a_few_faces(generator, scored, clip_config):
    few = ClipSource.create(generator, scored[0], clip_config._replace(num_identities=3, change_face=1.0))
    clips = clips_of(few)
    for ws in (clips.ws, clips.augmented):
        rest = np.asarray(to_the_mean_pose(few.directions, ws, clips.coefficients))  # all but the pose
        faces = np.unique(np.round(rest.reshape(-1, rest[0, 0].size), 3), axis=0)
        assert 1 < len(faces) <= 3


def test_offsets_start_from_a_pose_of_the_face_s_own(source, offsets):
    own = coordinates(source, offsets.ws) - offsets.coefficients
    np.testing.assert_allclose(own, np.broadcast_to(own[:, :1], own.shape), atol=1e-4)
    assert float(own[:, 0].std()) > 0.5


def test_offsets_are_the_same_motion_on_another_face(source, offsets):
    """An augmented frame stands where the frame does, or as far from where its own face stood."""
    apart = coordinates(source, offsets.augmented) - coordinates(source, offsets.ws)
    same_place = np.abs(apart).max(-1) < 1e-3
    assert 0.3 < same_place.mean() < 0.7  # change_face is one half


def test_coordinates_beyond_the_bound_are_drawn_back(source, clip_config):
    far = 3.0 * np.random.default_rng(0).normal(size=(200, len(source.directions.names))).astype(np.float32)
    limits = replace(source, config=clip_config._replace(bound=2.0))
    hold = jax.jit(bounded)
    held = np.asarray(hold(far, limits))
    distances = [np.sqrt(np.einsum("tk,kj,tj->t", x, source.precision, x)) for x in (held, far)]
    np.testing.assert_allclose(distances[0], np.minimum(distances[1], 2.0), rtol=1e-4)
    np.testing.assert_allclose(held / far, (held[:, :1] / far[:, :1]).repeat(2, axis=1), rtol=1e-4)
    near = np.float32(1e-3) * far
    np.testing.assert_array_equal(hold(near, limits), near)


def test_the_bound_is_that_of_the_faces_own_distances(source, unmixed):
    x = coordinates(source, unmixed)
    x = x - x.mean(0, keepdims=True)
    squares = np.einsum("tk,kj,tj->t", x, source.precision, x)
    assert float(squares.mean()) == pytest.approx(len(source.directions.names), rel=0.25)


def test_a_clip_does_not_depend_on_its_batch(source, clips):
    """Nor on its place there."""
    others = clips_of(source, np.arange(150, 50, -1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[51:], b[51:][::-1], atol=1e-5), clips, others)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_frames": 20}, "16 frames has no 20"),
        ({"mix_from": 0}, "mix_from=0"),
        ({"mix_from": 6}, "mix_from=6"),
        ({"coordinates": "polar"}, "absolute, offset; got 'polar'"),
        ({"motion": "free"}, r"clips\.motion must be one of linear, readout; got 'free'"),
        ({"motion": "readout"}, "motion='readout' and no latent readout do not go together"),
        ({"jitter": 0.1}, r"clips\.jitter=0\.1 .* needs clips\.motion='readout' and clips\.layers='each'"),
        ({"layers": "all"}, r"clips\.layers must be one of together, each; got 'all'"),
        ({"layers": "each"}, r"differ from layer to layer.* directions\.style_mixing=0"),
        ({"layers": "each", "coordinates": "offset"}, r"with offsets set clips\.layers='together'"),
        ({"tau": 0.0}, "tau=0.0"),
        ({"bound": 1.0}, "bound=1.0 would hold back most faces: along 2 directions they lie 1.4"),
        ({"appearance": 1.0}, "appearance=1.0 needs directions"),
    ],
)
def test_impossible_recipes_are_refused(generator, scored, clip_config, change, message):
    with pytest.raises(ValueError, match=message):
        ClipSource.create(generator, scored[0], clip_config._replace(**change))


def test_directions_of_another_generator_are_refused(generator, scored, clip_config):
    zeros = jnp.zeros((1, 4, 8))
    alien = Directions(zeros, zeros, jnp.zeros((4, 8)), ("x",))
    with pytest.raises(ValueError, match=r"W\+ \(4, 8\)"):
        ClipSource.create(generator, alien, clip_config)
    with pytest.raises(ValueError, match=r"W\+ \(4, 8\)"):
        ClipSource.create(generator, scored[0], clip_config, appearance=alien)
