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

    def videos(count, frames=8):
        looks, moves = draws.normal(size=(count, 1, 6)), draws.normal(size=(count, frames, 2))
        shown = looks @ axes[2:] + moves @ axes[:2] + (looks @ slant)[..., None] * axes[0]
        return [np.asarray(in_all_layers(video)) for video in shown]

    return in_all_layers(draws.normal(size=(20_000, 8))), axes[:2] @ mixing, videos


@pytest.fixture
def config(tmp_path):
    config = faces64.get_config("linear")
    config.directions.update(source="videos", videos=str(tmp_path), num_samples=64, num=2)
    return config


def save(folder, generator, names=("a", "b"), frames=4, **about):
    for i, name in enumerate(names):
        ws = np.random.default_rng(i).normal(scale=0.02, size=(frames, generator.num_ws, generator.w_dim))
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
    others = jnp.asarray(np.stack(videos(200)))

    def told(directions):
        found = np.asarray(directions.coordinates(others))
        faces = found.mean(axis=1, keepdims=True)
        return (faces.std(axis=(0, 1)) / (found - faces).std(axis=(0, 1))).max()

    few, many = (from_videos(videos(count), ws, 2) for count in (2, 200))
    assert told(few) > 2.0
    assert told(many) < 0.6  # a mean of eight frames has 0.35 of the motion


def test_too_little_motion_is_told(world):
    ws, _, videos = world
    with pytest.raises(ValueError, match="3 directions were asked for, but the frames of the videos move along 2"):
        from_videos(videos(4), ws, 3)
    with pytest.raises(ValueError, match="needs at least 2 videos, of different faces"):
        from_videos(videos(1), ws, 2)


def test_a_folder_of_latents_gives_directions(config, generator, tmp_path):
    save(tmp_path, generator)
    found = find_directions(config, generator, sample_population(config, generator)).directions
    assert (found.names, found.source) == (("video_0", "video_1"), "videos")
    (tmp_path / "notes.txt").touch()  # what else lies there is left alone
    assert find_directions(config, generator, sample_population(config, generator)).directions.names == found.names


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        (
            {"names": ("a",)},
            ValueError,
            "holds 1 files of latents, but directions.source='videos' needs those",
        ),
        ({"frames": 1}, ValueError, "a.safetensors holds latents of one picture, and no video"),
        ({"are_photos": True}, ValueError, "a.safetensors holds latents of photos, and no video"),
    ],
)
def test_what_is_no_video_is_told(config, generator, tmp_path, written, error, message):
    save(tmp_path, generator, **written)
    with pytest.raises(error, match=message):
        find_directions(config, generator, sample_population(config, generator))


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
