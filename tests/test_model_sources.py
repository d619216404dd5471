"""Models by name, folder and URL: which one is meant."""

import pytest

from disentangle_jax import model_sources


def test_a_folder_named_as_a_registered_model_is_taken_by_its_path_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundled = model_sources.find("faces64")
    (tmp_path / "faces64").mkdir()
    assert model_sources.find("faces64") == bundled  # it holds no model
    (tmp_path / "faces64" / "config.json").touch()
    with pytest.raises(ValueError, match=r"faces64 is a folder here and .* registered model: say \./faces64"):
        model_sources.find("faces64")
    assert model_sources.find("./faces64").resolve() == tmp_path / "faces64"
