"""Models by name, folder and URL: which one is meant."""

import pytest

from disentangle_jax import model_sources
from disentangle_jax.training import rules
from stylegan2_flax.run import config_flag


def test_a_folder_named_as_a_registered_model_is_taken_by_its_path_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundled = model_sources.find("faces64")
    (tmp_path / "faces64").mkdir()
    assert model_sources.find("faces64") == bundled  # it holds no model
    (tmp_path / "faces64" / "config.json").touch()
    with pytest.raises(ValueError, match=r"faces64 is a folder here and .* registered model: say \./faces64"):
        model_sources.find("faces64")
    assert model_sources.find("./faces64").resolve() == tmp_path / "faces64"


def test_the_record_of_the_bundled_model_is_a_config_of_today():
    """Its report says how to train it again."""
    rules.check(config_flag.load(str(model_sources.find("faces64") / "config.json")))
