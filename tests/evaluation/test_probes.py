"""Probes on planted codes: they find what is there, and nothing where nothing is."""

import numpy as np
import pytest

from disentangle_jax.configs import faces64
from disentangle_jax.evaluation.probes import KINDS, ProbeOptions, _ridge_path, probe, probe_matrix

FACES, POSES = 120, 4
OPTIONS = ProbeOptions.of(faces64.get_config().evaluation.probes)
RNG = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(FACES), POSES)
APPEARANCE = np.repeat(RNG.uniform(-1, 1, (FACES, 3)), POSES, axis=0)
STRUCTURE = RNG.uniform(-1, 1, (FACES * POSES, 2))


def mix(values, width=12, seed=1):
    return values @ np.random.default_rng(seed).normal(size=(values.shape[1], width))


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_leak_is_found(kind):
    leaky = mix(np.concatenate([APPEARANCE, STRUCTURE], axis=1))
    assert probe(leaky, STRUCTURE, GROUPS, kind=kind, seed=0, options=OPTIONS).min() > 0.9


@pytest.mark.parametrize(
    ("kind", "numbers", "read"),
    [("ridge", 96, lambda leak: leak), ("mlp", 96, lambda leak: leak), ("mlp", 16, np.abs)],
)
def test_one_leak_among_many_factors_is_found(kind, numbers, read):
    """One number of a code is what the first of seven factors is read from; the others are noise."""
    rng, faces = np.random.default_rng(3), 1000
    code, factors = rng.normal(size=(faces * POSES, numbers)), rng.uniform(-1, 1, (faces * POSES, 7))
    code[:, 0], factors[:, 0] = factors[:, 0], read(factors[:, 0])
    found = probe(code, factors, np.repeat(np.arange(faces), POSES), kind=kind, seed=0, options=OPTIONS)
    assert found[0] > 0.95
    assert np.abs(found[1:]).max() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_leaks_nothing_is_found(kind):
    assert probe(mix(APPEARANCE), STRUCTURE, GROUPS, kind=kind, seed=0, options=OPTIONS).max() < 0.1


def test_only_the_network_finds_what_is_not_linear():
    hidden = mix(np.concatenate([APPEARANCE, STRUCTURE**2], axis=1))
    magnitude = STRUCTURE**2
    assert probe(mix(STRUCTURE), magnitude, GROUPS, kind="ridge", seed=0, options=OPTIONS).max() < 0.1
    assert probe(mix(STRUCTURE), magnitude, GROUPS, kind="mlp", seed=0, options=OPTIONS).min() > 0.6
    assert probe(hidden, STRUCTURE, GROUPS, kind="ridge", seed=0, options=OPTIONS).max() < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_face_that_was_learnt_by_heart_counts_for_nothing(kind):
    """Every face has a name tag and a label that only its own other frames could tell."""
    tags = np.repeat(RNG.normal(size=(FACES, 200)), POSES, axis=0)
    labels = np.repeat(RNG.normal(size=(FACES, 2)), POSES, axis=0)
    assert probe(tags, labels, GROUPS, kind=kind, seed=0, options=OPTIONS).max() < 0.25


def test_the_matrix_has_all_cells_and_chance_is_near_zero():
    features = {"appearance code": mix(APPEARANCE), "structure code": mix(STRUCTURE)}
    matrix = probe_matrix(features, {"appearance": APPEARANCE, "structure": STRUCTURE}, GROUPS, seed=0, options=OPTIONS)
    assert set(matrix) == set(KINDS)
    ridge = matrix["ridge"]
    assert ridge["appearance code"]["appearance"]["r2"] > 0.99
    assert ridge["structure code"]["structure"]["r2"] > 0.99
    assert ridge["appearance code"]["structure"]["r2"] < 0.05
    assert all(abs(cell["chance"]) < 0.2 for row in ridge.values() for cell in row.values())


def test_single_targets_and_constant_features_are_fine():
    features = np.concatenate([mix(STRUCTURE), np.ones((len(STRUCTURE), 1))], axis=1)
    for kind in KINDS:
        assert probe(features, STRUCTURE[:, :1], GROUPS, kind=kind, seed=0, options=OPTIONS)[0] > 0.9


@pytest.mark.parametrize("columns", [20, 60])
def test_a_ridge_regression_is_what_its_equations_say_where_columns_outnumber_rows_too(columns):
    x, y, x_test = (RNG.normal(size=shape) for shape in ((40, columns), (40, 3), (5, columns)))
    predict, penalties = _ridge_path(x, x_test), np.array([0.1, 10.0])
    for penalty, found in zip(penalties, predict(y, penalties), strict=True):
        solved = np.linalg.solve(x.T @ x + penalty * np.eye(columns), x.T @ y)
        np.testing.assert_allclose(found, x_test @ solved, atol=1e-10)
