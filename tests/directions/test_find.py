"""Directions by config: every source finds what the config asks for, and rankings choose among candidates."""

import json

import jax
import numpy as np
import pytest

from disentangle_jax.configs import faces64
from disentangle_jax.directions import find
from disentangle_jax.directions.directions import Directions
from disentangle_jax.directions.find import find_directions, read_factors, sample_population
from disentangle_jax.faces import APPEARANCE, NAMES, STRUCTURE
from disentangle_jax.generators import digest
from disentangle_jax.latents import sample_ws


@pytest.fixture
def config():
    config = faces64.get_config("linear")
    config.directions.update(num_samples=256, pca_samples=5000, layers=(0, 4), num=2, candidates=4, rank_faces=8)
    return config


def found(config, generator):
    return find_directions(config, generator, sample_population(config, generator))


@pytest.mark.parametrize("source", ["sefa", "pca", "stylespace", "random"])
def test_the_sources_that_need_no_labels(config, generator, source):
    config.directions.source = source
    directions = found(config, generator).directions
    assert len(directions.names) == 2
    assert (directions.source, directions.generator) == (source, digest(generator))
    assert np.linalg.norm(directions.vectors, axis=2)[:, 5].max() == 0.0


def test_the_purest_candidates_are_kept_and_their_figures_written(config, generator, tmp_path):
    config.directions.update(source="stylespace", rank="pictures")
    chosen = found(config, generator)
    assert chosen.ranking is not None
    best = [chosen.ranking.names[i] for i in np.argsort(-chosen.ranking.purity)]
    assert len(best) == 4
    assert list(chosen.directions.names) == best[:2]
    chosen.save(tmp_path)
    assert Directions.load(tmp_path / "directions.safetensors").names == chosen.directions.names
    rows = json.loads((tmp_path / "ranking.json").read_text())["directions"]
    assert [row["kept"] for row in rows] == [True, True, False, False]


def test_chosen_channels_and_files(config, generator, tmp_path):
    config.directions.update(source="stylespace", channels=("b8.conv0:3",))
    directions = found(config, generator).directions
    assert directions.names == ("b8.conv0:3",)
    directions.save(tmp_path / "mine.safetensors")
    np.save(tmp_path / "w.npy", np.arange(8.0))
    config.directions.source = str(tmp_path / "mine.safetensors")
    again = found(config, generator).directions
    assert (again.names, again.source) == (("b8.conv0:3",), "stylespace")
    config.directions.source = str(tmp_path / "w.npy")
    assert found(config, generator).directions.names == ("w",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "magic"}, "unknown directions.source 'magic': neither a file nor one of scorer, videos"),
        ({"source": "sefa", "rank": "taste"}, "unknown directions.rank 'taste': choose from none, scorer, pictures"),
        ({"method": "magic"}, "unknown directions.method 'magic': choose from conditional, linear, logistic"),
        ({"source": "sefa", "rank": "scorer"}, "the judge reads images of 64 x 64 x 3"),
    ],
)
def test_impossible_configs_are_refused(config, generator, options, message):
    config.directions.update(**options)
    with pytest.raises(ValueError, match=message):
        found(config, generator)


@pytest.mark.parametrize(
    ("options", "leak"),
    [
        ({}, 0.05),
        ({"method": "linear", "orthogonalise": True}, 0.05),
        ({"method": "logistic", "orthogonalise": True}, 0.35),
    ],
)
def test_a_scorers_directions_change_what_it_reads(monkeypatch, config, generator, options, leak):
    weights = np.random.default_rng(0).normal(size=(48, len(NAMES))).astype(np.float32)
    monkeypatch.setattr(find, "read_factors", lambda generator, scorer, ws: ws.reshape(len(ws), -1) @ weights)
    config.directions.update(num_samples=2048, style_mixing=0.9, ridge=1e-4, **options)  # it reads layers apart
    directions = found(config, generator).directions
    assert directions.names == STRUCTURE
    effects = np.asarray(directions.vectors).reshape(len(STRUCTURE), -1) @ weights
    own = effects[np.arange(len(STRUCTURE)), len(APPEARANCE) + np.arange(len(STRUCTURE))]
    assert own.min() > 0.0
    others = np.abs(effects / own[:, None]).sum(1) - 1.0
    assert others.max() / (len(NAMES) - 1) < leak


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b", "still"), r"reads one and the same still in all 64 samples"),
        (("a", "b"), r"reads \[3\] numbers a picture, but names 2 factors"),
    ],
)
def test_readings_that_nothing_can_be_learnt_of_are_named(generator, names, message):
    @jax.tree_util.register_static
    class Reader:
        structure = ("a",)

        def __init__(self):
            self.names = names

        def __call__(self, images):
            means = images.mean((1, 2))
            return means.at[:, 2].set(0.1)

    ws = sample_ws(generator.mapping, jax.random.key(1), 64, 1.0)
    with pytest.raises(ValueError, match=message):
        read_factors(generator, Reader(), ws)
