"""Optimisation finds what the generator itself drew, within bounds, by one program for all batches and settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.configs import inversion
from disentangle_jax.inversion import optimisation
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.inversion.noise import noise_maps, normalise, self_similarity, with_noise
from disentangle_jax.inversion.optimisation import _batch as batch_of
from disentangle_jax.inversion.optimisation import nearest_samples, optimise

TRACES = []


def distance(images, targets):
    """The loss's other part here; it notes when it is traced."""
    TRACES.append(images.shape)
    return jnp.mean(jnp.abs(images - targets), axis=(1, 2, 3))


@pytest.fixture(scope="module")
def space(generator):
    return LatentSpace.of(generator.mapping)


@pytest.fixture
def settings():
    config = inversion.get_config()
    config.optimise.steps, config.refine.steps, config.scout.steps = 80, 20, 5
    config.batch_size, config.candidates, config.starts = 2, 8, 2
    config.weights.spread = 0.0  # the layers of these faces disagree
    return config


@pytest.fixture(scope="module")
def run(generator, space):
    return lambda images, settings, *args, **options: optimise(
        images, generator, settings, *args, distance=distance, space=space, **options
    )


def spread(ws):
    """How far the layers of latents lie apart."""
    return np.std(ws, axis=1).mean()


def test_images_of_the_generator_are_found_by_one_program_for_all_batches(run, generator, images, ws, space, settings):
    TRACES.clear()
    found = run(images, settings)
    again = run(images[:3], settings, found.ws[:3])  # from given latents on: other steps and rates
    assert len(TRACES) == 1
    assert found.ws.shape == ws.shape
    assert found.psnr.min() > 25
    np.testing.assert_allclose(found.images, jax.jit(generator.synthesis)(found.ws), atol=1e-5)
    np.testing.assert_allclose(found.deviations, space.deviations(found.ws), rtol=1e-5)
    assert found.noise["b8.conv1"].shape == (5, 8, 8)
    assert np.all(again.psnr > found.psnr[:3] - 1)
    settings.max_deviation = 0.5
    near = run(images[:2], settings).ws
    layers = np.sqrt(np.mean(np.square(space.whiten(jnp.asarray(near))), axis=2))
    assert layers.max() < 0.501
    settings.max_deviation, settings.weights.spread = 3.0, 100.0
    assert spread(run(images[:2], settings).ws) < 0.1 * spread(found.ws[:2])
    assert len(TRACES) == 1


@pytest.mark.slow
def test_a_clip_of_w_stays_together_over_its_batches(run, images, settings):
    settings.space, settings.noise = "w", False
    found = run(images, settings, clip=True)
    np.testing.assert_array_equal(found.ws, np.broadcast_to(found.ws[:, :1], found.ws.shape))
    settings.weights.neighbour = settings.weights.offset = 10.0
    still = run(images, settings, clip=True)

    def motion(ws):
        return np.abs(np.diff(ws, axis=0)).mean(axis=(1, 2))

    assert np.all(motion(still.ws) < 0.3 * motion(found.ws))  # also between the last frame of a batch and the next


def test_a_clip_goes_on_from_the_frames_before_it(run, images, settings):
    """With their base and noise, and near the last of them: it moves there as little as within a piece."""
    settings.batch_size, settings.weights.neighbour = 5, 10.0
    start = np.zeros((5, 4, 8), np.float32)
    first = run(images[:3], settings, start[:3], clip=True)
    alone, after = (run(images[3:], settings, start[3:], clip=True, before=before) for before in (None, first))
    steps = [np.abs(found.ws[0] - first.ws[-1]).mean() for found in (after, alone)]
    assert steps[0] < 0.8 * steps[1]
    for name, noise in first.noise.items():
        np.testing.assert_allclose(after.noise[name], noise, atol=1e-6)


def test_the_base_of_a_clip_is_found_on_several_frames_however_few_are_drawn_at_once(
    run, images, settings, monkeypatch
):
    def batch(task, rows, **options):
        seen.append(rows)
        return batch_of(task, rows, **options)

    seen = []
    monkeypatch.setattr(optimisation, "_batch", batch)
    settings.batch_size = 1
    run(images, settings, np.zeros((5, 4, 8), np.float32), clip=True)
    assert [rows.tolist() for rows in seen] == [[0, 1, 3, 4], [0], [1], [2], [3], [4]]


def test_shares_of_nothing_are_no_warmup_and_no_exploration(run, images, settings):
    settings.schedule.update(warmup=0.0, cooldown=0.0, explore_until=0.0)
    assert np.isfinite(run(images[:1], settings).psnr).all()


def test_without_candidates_the_search_starts_from_the_mean_latent(images, generator, space):
    (start,) = nearest_samples(images[:1], generator, space, 0, 2, alike=False)
    np.testing.assert_array_equal(start[0], np.broadcast_to(space.mean, start[0].shape))


def test_a_loss_that_is_not_finite_ends_the_search(run, images, settings):
    with pytest.raises(FloatingPointError, match="not finite after 20 steps: lower the learning rate"):
        run(images * np.float32(np.inf), settings, np.zeros((5, 4, 8), np.float32))


def test_images_of_another_size_are_told(run, images, settings):
    with pytest.raises(ValueError, match=r"images must be \[n, 8, 8, 3\] for this generator, n at least 1; got"):
        run(images[:, :4], settings)


def test_a_usual_sample_is_one_standard_deviation_out(generator, space):
    ws = jax.jit(generator.mapping)(np.random.default_rng(9).normal(size=(500, 8)).astype(np.float32))
    assert np.sqrt(np.mean(np.square(space.deviations(ws)))) == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(space.unwhiten(space.whiten(ws)), ws, atol=1e-4)


def test_noise_maps_are_those_that_count_and_can_be_put_back(generator, images, ws):
    maps = noise_maps(generator.synthesis, 5)
    assert {name: x.shape for name, x in maps.items()} == {"b8.conv1": (5, 8, 8)}
    draw = jax.jit(lambda maps, ws: with_noise(generator.synthesis, maps)(ws))
    np.testing.assert_allclose(draw(maps, ws), images, atol=1e-5)
    other = {"b8.conv1": np.where(np.arange(5)[:, None, None] == 1, np.float32(0), maps["b8.conv1"])}
    np.testing.assert_array_equal(np.abs(draw(other, ws) - images).max(axis=(1, 2, 3)) > 1e-3, np.arange(5) == 1)


def test_noise_that_repeats_itself_is_told_from_white_noise():
    white = {"x": jnp.asarray(np.random.default_rng(0).normal(size=(1, 16, 16)), jnp.float32)}
    striped = {"x": jnp.asarray(np.broadcast_to(np.sin(np.arange(16.0)), (1, 16, 16)), jnp.float32)}
    values = [float(self_similarity(normalise(maps))) for maps in (white, striped)]
    assert values[0] < 0.1
    assert values[1] > 1.0
    normal = normalise({"x": 3.0 + 5.0 * white["x"]})["x"]
    assert (float(normal.mean()), float(normal.var())) == pytest.approx((0.0, 1.0), abs=1e-4)
