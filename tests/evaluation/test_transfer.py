"""The transfer exam on methods whose marks are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.directions import Directions
from disentangle_jax.evaluation import baselines, transfer
from disentangle_jax.evaluation.held_out import held_out
from disentangle_jax.evaluation.motion import truth_animator
from disentangle_jax.evaluation.transfer import TransferTask, best_split, jitter_ratio


@pytest.fixture(scope="module")
def task(domain, perfect):
    return TransferTask(
        domain, perfect.render, *held_out(perfect, truth_animator(domain.domain, 0.8), None).pairs, 16
    ), perfect


def test_a_good_transfer_gets_high_marks_and_the_exact_pictures_full_ones(task):
    task, model = task
    output_ws, marks = task.run(baselines.autoencoder(model))
    assert output_ws.shape == task.source_ws.shape
    assert marks.structure.min() > 0.9
    assert marks.appearance.min() > 0.97
    assert marks.psnr > 20
    ceiling = task.ceiling()
    assert np.allclose(np.concatenate([ceiling.structure, ceiling.appearance]), 1, atol=1e-4)
    assert marks.mean() < ceiling.mean() == pytest.approx(1, abs=1e-4)


def test_copies_get_full_marks_on_one_side_only(task):
    task, _ = task
    source, driving = (task.run(copy)[1] for copy in (baselines.copy_source, baselines.copy_driving))
    assert np.allclose(source.appearance, 1, atol=1e-5)
    assert np.allclose(driving.structure, 1, atol=1e-5)
    assert -1.6 < source.structure.mean() < -0.5  # -1 on average: another face's pose is as good as any
    assert -1.6 < driving.appearance.mean() < -0.5
    assert 0 < source.structure_std < 0.5
    assert source.appearance_std < 1e-4


def test_the_best_split_is_the_one_with_the_highest_mean(task):
    task, model = task
    num_ws = model.generator.num_ws
    means = [task.run(baselines.layer_swap(split))[1].mean() for split in range(1, num_ws)]
    assert best_split(task, num_ws) == 1 + int(np.argmax(means))


def test_a_layer_swap_takes_coarse_layers_from_the_driving():
    source, driving = (jnp.asarray(np.full((1, 4, 2), value, np.float32)) for value in (0, 1))
    assert np.asarray(baselines.layer_swap(1)(source, driving))[0, :, 0].tolist() == [1, 0, 0, 0]
    assert np.array_equal(baselines.layer_swap(0)(source, driving), source)
    assert np.array_equal(baselines.layer_swap(4)(source, driving), driving)


def test_a_linear_transfer_replaces_the_coordinates_and_keeps_the_rest():
    vectors = jnp.asarray(np.eye(6, dtype=np.float32).reshape(6, 2, 3)[:2])
    directions = Directions(vectors, vectors, jnp.asarray(np.ones((2, 3), np.float32)), ("x", "y"))
    source, driving = np.random.default_rng(0).normal(size=(2, 5, 2, 3)).astype(np.float32)
    output = np.asarray(baselines.linear_transfer(directions)(jnp.asarray(source), jnp.asarray(driving)))
    assert np.allclose(output[:, 0, :2], driving[:, 0, :2], atol=1e-6)
    assert np.allclose(output[:, 0, 2], source[:, 0, 2])
    assert np.allclose(output[:, 1], source[:, 1])


def test_jitter_is_measured_against_the_driving():
    driving = np.random.default_rng(0).normal(size=(2, 6, 3, 4)).astype(np.float32)
    line = np.linspace(0, 1, 6, dtype=np.float32)[None, :, None, None] + np.zeros_like(driving)
    assert jitter_ratio(driving, driving) == pytest.approx(1)
    assert jitter_ratio(2 * driving + 1, driving) == pytest.approx(2)
    assert jitter_ratio(line, driving) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="at least 3 frames"):
        jitter_ratio(driving[:, :2], driving[:, :2])


def test_the_spread_of_a_few_pairs_is_a_number():
    """Of 200 draws of three pairs, some hold one pair three times."""
    truth = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    assert transfer._bootstrap_std(truth, truth) == 0
    assert np.isfinite(transfer._bootstrap_std(truth + 0.1, truth))
