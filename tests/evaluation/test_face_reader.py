"""What is read of photographed faces: identity, expression and pose."""

import numpy as np
import pytest

from disentangle_jax import media
from disentangle_jax.evaluation.face_reader import by_arcface, expression_of, load_face_reader, pose_of
from disentangle_jax.evaluation.proxies import APPEARANCE
from disentangle_jax.inversion.portraits import load_finder

MOUTH_OPEN, MOUTH_WIDE, LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW = range(6)


@pytest.fixture(scope="module")
def reader():
    return load_face_reader("dlib", None)


@pytest.fixture(scope="module")
def landmarks(astronaut):
    return load_finder()(astronaut)[0]


def changed(before, after):
    return np.flatnonzero(np.abs(after - before) > 1e-9).tolist()


def test_a_measure_changes_with_its_part_of_the_face_alone(landmarks):
    neutral = expression_of(landmarks)
    for point, measure in ((66, MOUTH_OPEN), (20, LEFT_BROW), (24, RIGHT_BROW)):
        moved = landmarks.copy()
        moved[point] += [0, 3]
        assert changed(neutral, expression_of(moved)) == [measure]
    moved = landmarks.copy()
    moved[[40, 41]] += [0, 3]
    moved[[37, 38]] -= [0, 3]  # the middle of the eye stays
    after = expression_of(moved)
    assert changed(neutral, after) == [LEFT_EYE]
    assert after[LEFT_EYE] > neutral[LEFT_EYE]
    moved = landmarks.copy()
    moved[30] += [4, 0]
    assert changed(pose_of(landmarks)[1:], pose_of(moved)[1:])


def test_size_place_and_roll_of_a_face_leave_its_expression_alone(landmarks):
    cos, sin = np.cos(0.5), np.sin(0.5)
    turned = 3 * landmarks @ np.array([[cos, sin], [-sin, cos]]) + [10, -70]
    np.testing.assert_allclose(expression_of(turned), expression_of(landmarks))
    np.testing.assert_allclose(pose_of(turned) - pose_of(landmarks), [0.5, 0, 0], atol=1e-9)


def test_a_person_is_told_from_another_and_pictures_without_a_face_are_nan(reader, astronaut, carphone):
    face = astronaut[:220, 110:330]
    other = np.pad(carphone[0], ((0, 220 - 144), (0, 220 - carphone[0].shape[1]), (0, 0)))
    same = np.roll(face, (3, 8), axis=(0, 1))
    images = media.from_uint8(np.stack([face, same, other, np.zeros_like(face)]))
    readings = reader.read(images)
    identity = reader.proxies["identity"]
    near, far, unknown = identity.compare(readings["identity"][[0, 0, 0]], readings["identity"][1:])
    assert near < 0.3 < 0.6 < far
    assert np.isnan(unknown)
    assert identity.of == APPEARANCE
    assert all(np.isnan(values[3]).all() and np.isfinite(values[:3]).all() for values in readings.values())
    assert np.abs(readings["expression"][1] - readings["expression"][0]).mean() < 0.05
    nothing = reader.read(images[3:])
    assert all(np.isnan(values).all() for values in nothing.values())


def test_arcface_sees_the_aligned_face(astronaut, landmarks):
    seen = []

    def embed(faces):
        seen.append(faces)
        return faces[:, 0, 0]

    reader = by_arcface(embed, lambda image: landmarks[None])
    assert reader.read(media.from_uint8(astronaut[None]))["identity"].shape == (1, 3)
    assert seen[0].shape == (1, 112, 112, 3)
    assert reader.proxies["identity"].higher_is_better
    with pytest.raises(ValueError, match="68 landmarks; this finder gives 5"):
        by_arcface(embed, lambda image: np.arange(10.0).reshape(1, 5, 2)).read(media.from_uint8(astronaut[None]))
