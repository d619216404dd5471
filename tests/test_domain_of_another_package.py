"""Someone else's domain, installed as a package of its own: directions, clips, training and evaluation of it."""

import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax import evaluate
from disentangle_jax.clips import build_clip_source, sample_clip
from disentangle_jax.configs import faces64
from disentangle_jax.directions.find import find_directions, sample_population
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import load_domain
from disentangle_jax.generators import load_generator
from disentangle_jax.scorers import load_scorer
from disentangle_jax.training import experiment
from stylegan2_flax import command

X, HUE, Y, SIZE = range(4)


@pytest.fixture(scope="module", autouse=True)
def site(shapes):
    """The package is on the path while these tests run."""
    sys.path.insert(0, str(shapes))
    yield
    sys.path.remove(str(shapes))


@pytest.fixture
def config():
    config = faces64.get_config("demo,linear")
    config.generator = "shapes"
    config.directions.update(scorer="shapes_reader", num_samples=1024, num=2)
    config.clips.update(mix_from=3, amplitude=0.7, trajectories=("sinusoid",))
    config.purify.update(scorer="shapes_reader", num_faces=128)
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=1)
    config.optimizer.update(name="adamw", warmup_steps=1, learning_rate=1e-2)
    config.train.update(batch_size=8, num_steps=3, log_every=1)
    config.evaluation.update(
        judge="shapes_reader",
        batch_size=16,
        num_pairs=64,
        num_selection_pairs=32,
        num_readout_faces=200,
        motion={"num_clips": 2, "num_frames": 4},
        probes={"num_faces": 24, "num_frames": 2},
        retrieval={"num_faces": 4, "num_frames": 4},
        pictures={"num_sources": 2, "num_drivings": 2, "num_pairs": 2, "num_clips": 1},
    )
    return config


def test_everything_it_offers_is_found_by_name():
    generator, domain, scorer = load_generator("shapes"), load_domain("shapes"), load_scorer("shapes_reader")
    assert domain is not None
    ws = sample_ws_of(generator)
    factors = domain.truth(ws)
    np.testing.assert_allclose(scorer(generator.synthesis(ws)), factors, atol=0.12)
    assert float(factors.std(0).min()) > 0.2


def test_its_scorer_finds_directions_of_its_structure_alone(config):
    generator, domain = load_generator("shapes"), load_domain("shapes")
    assert domain is not None
    ws = sample_population(config, generator)
    directions = find_directions(config, generator, ws).directions
    assert directions.names == ("x", "y")
    for i, factor in enumerate((X, Y)):
        one = directions.select([i])
        ends = [np.asarray(domain.truth(one.move(ws[:200], jnp.full((200, 1), c)))) for c in (-1.0, 1.0)]
        change = np.abs(ends[1] - ends[0]).mean(0)
        assert change[factor] > 0.5
        assert np.delete(change, factor).max() < 0.15 * change[factor]


def test_purified_clips_hold_its_appearance_still(config, tmp_path):
    """Structure is moved by fewer directions than there are factors: what they drag along is taken back."""
    config.directions.update(source="random", layers=(0, 5))
    config.purify.steps = 4
    generator, domain = load_generator("shapes"), load_domain("shapes")
    assert domain is not None
    source = build_clip_source(config, generator, tmp_path)
    clips = jax.jit(jax.vmap(sample_clip, (None, 0)))(source, jax.random.split(jax.random.key(0), 16))
    assert source.purifier is not None
    purified = jax.jit(lambda purifier, clips: purifier(clips))(source.purifier, clips)

    def drift(ws):
        return np.asarray(domain.truth(ws))[..., [HUE, SIZE]].std(1).mean()

    assert drift(purified.ws) < 0.5 * drift(clips.ws)
    np.testing.assert_array_equal(purified.coefficients, clips.coefficients)


def test_it_is_trained_on_and_evaluated_by_its_own_truth(config, tmp_path):
    experiment.run(config, tmp_path)
    assert Disentangler.load(tmp_path).directions.names == ("x", "y")
    command.run(evaluate.main, evaluate.FLAGS, ["evaluate", f"--workdir={tmp_path}"])
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    exact = metrics["transfer"]["exact"]
    assert set(exact["structure_r2_per_factor"]) == {"x", "y"}
    assert set(exact["appearance_r2_per_factor"]) == {"hue", "size"}
    assert exact["mean_r2"] > 0.95
    assert metrics["transfer"]["oracle"]["structure_r2"] > 0.7
    assert metrics["transfer"]["methods"]["copy source"]["appearance_r2"] > 0.95
    page = (tmp_path / "report.html").read_text()
    text = re.sub(r'<style>.*?</style>|<details>.*|data:[^"]*', "", page, flags=re.DOTALL)
    assert "hue, size" in text
    assert "x, y" in text
    assert "shapes_reader" in text
    assert re.findall("face|skin|hair|expression|smile|mouth|person", text) == []


def sample_ws_of(generator):
    z = np.random.default_rng(3).normal(size=(64, generator.z_dim)).astype(np.float32)
    return jax.jit(lambda mapping, z: mapping(z))(generator.mapping, z)
