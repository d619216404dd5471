"""The truth of latents: layers own factors, factors fill their range, and the bundled generator draws them."""

import json
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax import faces
from disentangle_jax.faces.assessment import linearity
from disentangle_jax.faces.judge import Judge, read_factors
from disentangle_jax.faces.truth import GROUPS, Truth
from disentangle_jax.metrics import r2

KINDS: tuple[str, ...] = ("pose", "expression", "appearance")


@pytest.fixture(scope="module")
def ws(sample_ws):
    return sample_ws(5, 256)


def test_factors_fill_their_range(ws):
    values = np.asarray(Truth.load("faces64")(ws).stack())
    assert np.abs(values).max() <= 1.0
    np.testing.assert_allclose(values.std(0), 1 / np.sqrt(3), atol=0.1)


def test_layers_move_the_factors_they_own_and_no_others(ws):
    truth = Truth.load("faces64")
    before = np.asarray(truth(ws).stack())
    for (first, last), names in GROUPS:
        other = np.array(ws)
        other[:, first : last + 1] = other[::-1, first : last + 1]
        moved = np.abs(np.asarray(truth(jnp.asarray(other)).stack()) - before).max(0) > 1e-4
        assert {name for name, m in zip(faces.NAMES, moved, strict=True) if m} == set(names)


def test_the_curvature_is_the_share_that_a_linear_readout_of_w_leaves(bundled, sample_ws):
    w = sample_ws(6, 8192)[:, 0]
    straight, curved = (
        linearity(bundled.mapping, Truth.create(jax.random.key(7), w, 10, shares), jax.random.key(8))
        for shares in (dict.fromkeys(KINDS, 0.0), dict(zip(KINDS, (0.0, 0.2, 0.4), strict=True)))
    )
    assert min(straight.values()) > 0.94  # the rest is the error function
    np.testing.assert_allclose([curved[kind] for kind in KINDS], [straight["pose"], 0.8, 0.6], atol=0.05)


def test_the_bundled_generator_draws_its_truth(ws, pictures, draw):
    truth = Truth.load("faces64")
    values, images = np.asarray(truth(ws).stack())[:128], draw(ws[:128])
    error = np.mean((images - pictures(values)) ** 2)
    card = json.loads((resources.files("disentangle_jax") / "assets" / "faces64.json").read_text())
    np.testing.assert_allclose(10 * np.log10(4 / error), card["psnr_held_out"], atol=1.0)
    scores = r2(read_factors(Judge.load("judge_b"), images).stack(), values)
    np.testing.assert_allclose(scores.mean(), card["r_squared_read_by_judge_b"], atol=0.04)


def test_saving_and_loading_is_exact(tmp_path, ws):
    truth = Truth.load("faces64")
    truth.save(tmp_path / "truth.safetensors")
    np.testing.assert_array_equal(Truth.load(tmp_path / "truth.safetensors")(ws).stack(), truth(ws).stack())


def test_bad_files_get_one_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no truth 'nobody'"):
        Truth.load("nobody")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="damaged"):
        Truth.load(tmp_path / "broken.safetensors")
