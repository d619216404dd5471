"""Directions from videos: they move what moves within the videos, and their coordinates tell faces least."""

import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.configs import faces64
from disentangle_jax.directions.find import check, find_directions, sample_population
from disentangle_jax.directions.from_videos import from_videos
from disentangle_jax.inversion.latent_files import write_latents


@pytest.fixture(scope="module")
def world():
    """A population of w [8], the two axes along which faces move, and a function that draws videos of so many faces.

    Faces differ in six other ways, and in where they are on the first axis, which their looks tell.
    """
    draws = np.random.default_rng(0)
    mixing, slant = draws.normal(size=(8, 8)), draws.normal(size=6)
    axes = np.linalg.qr(draws.normal(size=(8, 8)))[0]  # of white coordinates

    def in_all_layers(x):
        return jnp.asarray(np.repeat((x @ mixing)[..., None, :], 6, axis=-2), jnp.float32)

    def videos(count, seed=0, frames=8):
        draws = np.random.default_rng(seed)
        looks, moves = draws.normal(size=(count, 1, 6)), draws.normal(size=(count, frames, 2))
        shown = looks @ axes[2:] + moves @ axes[:2] + (looks @ slant)[..., None] * axes[0]
        return [np.asarray(in_all_layers(video)) for video in shown]

    return in_all_layers(draws.normal(size=(20_000, 8))), axes[:2] @ mixing, videos


@pytest.fixture
def config(tmp_path):
    config = faces64.get_config("linear")
    config.directions.update(source="videos", videos=str(tmp_path), num_samples=64, num=2)
    return config


def save(folder, generator, names=("a", "b"), frames=4, layers=1, **about):
    for i, name in enumerate(names):
        ws = np.random.default_rng(i).normal(scale=0.02, size=(frames, layers, generator.w_dim))
        ws = np.repeat(ws, generator.num_ws // layers, axis=1)
        write_latents(folder / f"{name}.safetensors", ws, generator, **about)


def test_they_are_what_moves_in_the_videos(world):
    ws, moves, videos = world
    directions = from_videos(videos(4), ws, 2)
    vectors = np.asarray(directions.vectors)
    assert np.ptp(vectors, axis=1).max() == 0.0  # all layers are moved alike
    span = np.linalg.lstsq(moves.T, vectors[:, 0].T, rcond=None)[0].T @ moves
    assert np.linalg.norm(span - vectors[:, 0]) < 0.03 * np.linalg.norm(vectors[:, 0])


def test_coordinates_of_many_videos_do_not_tell_faces_apart(world):
    ws, _, videos = world
    others = jnp.asarray(np.stack(videos(200, seed=1)))

    def told(directions):
        found = np.asarray(directions.coordinates(others))
        faces = found.mean(axis=1, keepdims=True)
        return (faces.std(axis=(0, 1)) / (found - faces).std(axis=(0, 1))).max()

    few, many = (from_videos(videos(count), ws, 2) for count in (2, 200))
    assert told(many) < 0.6  # a mean of eight frames has 0.35 of the motion
    assert told(many) < told(few) / 2


def test_a_long_video_counts_as_much_as_a_short_one(world):
    """One face moves along the first axis in 100 frames, another a little further along the second in two."""
    ws, moves, videos = world
    steps = [np.linspace(-1.0, 1.0, 100), np.array([-0.5, 0.5])]
    lengths = [step / step.std(ddof=1) * size for step, size in zip(steps, (1.0, 1.2), strict=True)]
    faces = (video[:1] for video in videos(2))
    clips = [
        np.asarray(face + length[:, None, None] * move, np.float32)
        for face, length, move in zip(faces, lengths, moves, strict=True)
    ]
    (vector,) = np.asarray(from_videos(clips, ws, 1).vectors)[:, 0]
    assert abs(vector @ moves[1]) > 0.99 * np.linalg.norm(vector) * np.linalg.norm(moves[1])


def test_too_little_to_learn_from_is_told(world):
    ws, _, videos = world
    one, other = videos(2)
    for given, k, message in (
        ([one, other], 3, "3 directions were asked for, but the frames of the videos move along 2: give more videos"),
        ([one], 2, "take at least 2 of them, of different faces, with two frames or more each; these have 8"),
        ([one, other[:1]], 2, "with two frames or more each; these have 8, 1"),
        ([one, one], 2, "all videos show one and the same face"),
    ):
        with pytest.raises(ValueError, match=message):
            from_videos(given, ws, k)


def test_a_folder_of_latents_gives_directions(config, generator, tmp_path):
    save(tmp_path, generator)
    found = find_directions(config, generator, sample_population(config, generator)).directions
    assert (found.names, found.source) == (("video_0", "video_1"), "videos")
    (tmp_path / "notes.txt").touch()  # what else lies there is left alone
    assert find_directions(config, generator, sample_population(config, generator)).directions.names == found.names


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"names": ("a", ".b", "a_generator")}, "holds latents of 1 videos, but directions.source='videos' needs 2"),
        ({"frames": 1}, "a.safetensors holds latents of one picture, and no video"),
        ({"are_photos": True}, "a.safetensors holds latents of photos, and no video"),
    ],
)
def test_what_is_no_video_is_told(config, generator, tmp_path, written, message):
    save(tmp_path, generator, **written)
    with pytest.raises(ValueError, match=message):
        find_directions(config, generator, sample_population(config, generator))


def test_layers_that_differ_are_warned_about(config, generator, tmp_path):
    save(tmp_path, generator, layers=generator.num_ws)
    with pytest.warns(UserWarning, match=r"the layers of .* differ, so their mean is taken"):
        find_directions(config, generator, sample_population(config, generator))


def test_they_are_not_ranked(config, generator):
    config.directions.rank = "pictures"
    with pytest.raises(ValueError, match=r"those of videos move most in the first place, so set directions\.rank"):
        check(config, generator)


def test_the_folder_may_be_gone_once_directions_are_found(config, generator):
    config.directions.videos = "nowhere"
    check(config, generator, found=True)


@pytest.mark.parametrize(
    ("folder", "error", "message"),
    [
        ("", ValueError, "needs directions.videos, a folder of latents of videos"),
        ("nowhere", FileNotFoundError, "no folder of latents of videos at nowhere"),
    ],
)
def test_a_missing_folder_is_told_before_any_work(config, generator, folder, error, message):
    config.directions.videos = folder
    with pytest.raises(error, match=message):
        check(config, generator)
