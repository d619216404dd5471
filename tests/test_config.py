"""Configs: the file's switches, and the record of a run in its workdir."""

import runpy
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from disentangle_jax import config as records

CONFIGS = Path(__file__).parents[1] / "experiments" / "configs"
get_config = runpy.run_path(str(CONFIGS / "faces64.py"))["get_config"]


def test_switches():
    assert get_config("demo").train.num_steps < get_config().train.num_steps
    assert get_config("demo,no_contrast").loss.weights.appearance_contrast == 0
    assert get_config("no_contrast").loss.weights.structure_contrast == 0
    with pytest.raises(ValueError, match="unknown switch 'dmeo': this config knows demo, no_contrast"):
        get_config("dmeo")


@pytest.mark.parametrize("name", ["ffhq256", "ffhq1024"])
def test_configs_of_published_generators(name):
    """They have the fields of faces64.py, need no scorer, and spread over eight devices."""
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]("pca,wide")
    assert config.keys() == get_config().keys()
    assert all(config[field].keys() == get_config()[field].keys() for field in ("directions", "clips", "train"))
    assert config.directions.source == "pca"
    assert (config.directions.rank, config.purify.steps, config.clips.appearance) == ("none", 0, 0.0)
    assert config.train.batch_size == 1024
    with pytest.raises(ValueError, match="unknown switch 'wdie': this config knows pca, wide"):
        runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]("wdie")


def test_record_round_trip(tmp_path):
    config = get_config("demo")
    records.record(config, tmp_path / "run")
    again = records.read(tmp_path / "run")
    assert again.to_dict() == config.to_dict()
    assert isinstance(again.clips.trajectories, tuple)


def test_resumed_run_may_go_on_longer_and_be_judged_anew(tmp_path):
    config = get_config("demo")
    records.record(config, tmp_path)
    config.train.num_steps += 1000
    config.evaluation.seed = 7
    records.record(config, tmp_path)
    assert records.read(tmp_path).train.num_steps == config.train.num_steps


def test_workdir_of_another_config_is_refused_field_by_field(tmp_path):
    records.record(get_config("demo"), tmp_path)
    config = get_config("demo")
    config.model.structure_dim = 5
    config.clips.trajectories = ("sinusoid",)
    config.extra = ConfigDict({"field": 1})
    with pytest.raises(ValueError, match="another config") as error:
        records.record(config, tmp_path)
    for line in (
        "clips.trajectories: ['sinusoid', 'random_walk'] there, ['sinusoid'] now",
        "extra.field: absent there, 1 now",
        "model.structure_dim: 32 there, 5 now",
        "another --workdir",
    ):
        assert line in str(error.value)
    assert records.read(tmp_path).model.structure_dim == 32


def test_folder_without_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a training workdir nor an exported folder"):
        records.read(tmp_path / "nowhere")
