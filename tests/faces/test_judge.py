"""The bundled judges read what the renderer draws; damaged files are refused."""

import json
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from disentangle_jax import arrays, faces
from disentangle_jax.faces.judge import Judge, read_factors
from disentangle_jax.metrics import r2
from disentangle_jax.weights import named_arrays

AT_LEAST: dict[str, float] = dict.fromkeys(
    ("yaw", "pitch", "roll", "smile", "mouth_open", "eye_open", "skin", "hair_color", "clothing"), 0.95
)


@pytest.fixture(scope="module")
def some(pictures):
    """Random factors, and pictures of them."""
    values = np.random.default_rng(77).uniform(-1, 1, (256, len(faces.NAMES))).astype(np.float32)
    return values, pictures(values)


@pytest.fixture(scope="module")
def small():
    return jax.jit(lambda: Judge((4, 4, 8, 8), 8, rngs=nnx.Rngs(0)))()


@pytest.mark.parametrize("name", ["judge_a", "judge_b"])
def test_bundled_judges_read_every_factor(name, some):
    values, images = some
    scores = r2(read_factors(Judge.load(name), images).stack(), values)
    for factor, score in zip(faces.NAMES, scores, strict=True):
        assert score >= AT_LEAST.get(factor, 0.85) - 0.02, f"{name} reads {factor} with R^2 {score:.3f}"


@pytest.mark.parametrize("name", ["judge_a", "judge_b"])
def test_cards_state_what_is_needed(name):
    card = json.loads((resources.files("disentangle_jax") / "assets" / f"{name}.json").read_text())
    scores = card["r_squared_on_4096_held_out_renders"]
    assert set(scores) == set(faces.NAMES)
    assert all(scores[factor] >= AT_LEAST.get(factor, 0.85) for factor in scores)


def test_the_two_judges_are_different_networks():
    assert Judge.load("judge_a").widths != Judge.load("judge_b").widths


def test_saving_and_loading_keeps_half_precision_weights(tmp_path, small):
    small.save(tmp_path / "judge.safetensors")
    again = Judge.load(tmp_path / "judge.safetensors")
    images, read = np.random.default_rng(0).uniform(size=(2, 64, 64, 3)).astype(np.float32), jax.jit(Judge.__call__)
    np.testing.assert_allclose(read(small, images), read(again, images), atol=2e-3)


def test_bad_files_get_one_clear_error(tmp_path, small):
    with pytest.raises(FileNotFoundError, match="no judge 'judge_z'"):
        Judge.load("judge_z")
    path = tmp_path / "judge.safetensors"
    small.save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged"):
        Judge.load(path)
    arrays.save(path, named_arrays(small), judge={"widths": [4, 4, 4, 4], "hidden": 3})
    with pytest.raises(ValueError, match="does not fit its record of sizes"):
        Judge.load(path)
    with pytest.raises(ValueError, match="64 x 64"):
        Judge.load("judge_a")(jnp.zeros((1, 32, 32, 3)))
