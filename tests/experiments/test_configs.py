"""Configs: their switches."""

import pytest

from disentangle_jax.configs import faces64, ffhq256, ffhq1024

get_config = faces64.get_config


def test_switches():
    assert get_config("demo").train.num_steps < get_config().train.num_steps
    assert get_config("demo,no_contrast").loss.weights.appearance_contrast == 0
    for ratio in ("appearance_ratio", "structure_ratio"):
        assert get_config("abstract").loss.weights[ratio] == get_config("linear").loss.weights[ratio] > 0
        assert get_config("no_contrast").loss.weights[ratio] == 0
    assert (get_config().clips.motion, get_config("linear").clips.motion) == ("readout", "linear")
    assert get_config("no_contrast").loss.weights.structure_contrast == 0
    weights = get_config("demo,abstract").loss.weights
    assert {name for name in weights if weights[name] > 0} == {
        "reconstruction",
        "appearance_contrast",
        "structure_contrast",
        "appearance_ratio",
        "structure_ratio",
    }
    with pytest.raises(ValueError, match="unknown switch 'dmeo': this config knows demo, linear, abstract"):
        get_config("dmeo")


@pytest.mark.parametrize("module", [ffhq256, ffhq1024])
def test_configs_of_published_generators(module):
    """They have the fields of faces64.py, need no scorer, and spread over eight devices."""
    config = module.get_config("pca,wide")
    assert config.keys() == get_config().keys()
    assert all(config[field].keys() == get_config()[field].keys() for field in ("directions", "clips", "train"))
    assert config.directions.source == "pca"
    assert (config.directions.rank, config.purify.steps, config.clips.appearance) == ("none", 0, 0.0)
    assert config.train.batch_size == 1024
    with pytest.raises(ValueError, match="unknown switch 'wdie': this config knows pca, scorer, wide"):
        module.get_config("wdie")
    with pytest.raises(ValueError, match="leave out one of the two switches"):
        module.get_config("scorer,pca")
    config = module.get_config("scorer")  # the recipe of faces64, at the sizes of photographs
    assert config.loss == get_config().loss
    assert (config.directions.source, config.clips.motion, config.clips.layers) == ("scorer", "readout", "each")
    assert config.model.width == module.get_config().model.width
