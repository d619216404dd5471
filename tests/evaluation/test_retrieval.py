"""Retrieval on planted codes."""

import numpy as np
import pytest

from disentangle_jax.evaluation.retrieval import same_face, same_motion

FACES, FRAMES = 12, 8
RNG = np.random.default_rng(0)
FACE = np.tile(RNG.normal(size=(FACES, 1, 6)), (1, FRAMES, 1))
MOMENT = np.tile(RNG.normal(size=(1, FRAMES, 6)), (FACES, 1, 1))
NOISE = 1e-3 * RNG.normal(size=(FACES, FRAMES, 6))


def test_codes_that_hold_the_face_alone_find_it():
    assert same_face(FACE + NOISE) == (1.0, 1 / FACES)


def test_codes_that_hold_the_pose_are_led_astray():
    assert same_face(MOMENT + NOISE).recall == 0.0
    assert same_face(FACE + 3 * MOMENT).recall < 0.5


def test_codes_that_hold_the_motion_alone_find_the_moment():
    assert same_motion(MOMENT + NOISE) == (1.0, 1 / FRAMES)


def test_codes_that_hold_the_face_find_the_moment_by_chance():
    assert abs(same_motion(FACE + NOISE).recall - 1 / FRAMES) < 0.15


def test_one_face_is_too_few():
    with pytest.raises(ValueError, match="at least two faces and two frames"):
        same_face(FACE[:1])
    with pytest.raises(ValueError, match="at least two faces and two frames"):
        same_motion(MOMENT[:, :1])


def test_a_single_number_finds_its_moment_by_distance():
    assert same_motion(MOMENT[..., :1] + NOISE[..., :1]) == (1.0, 1 / FRAMES)
