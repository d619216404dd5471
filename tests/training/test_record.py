"""The record of a run in its workdir."""

import jax
import pytest
from ml_collections import ConfigDict

from disentangle_jax.configs import faces64
from disentangle_jax.training.experiment import MAY_CHANGE
from stylegan2_flax.run import config_record

get_config = faces64.get_config


def record(config, workdir):
    config_record.record_config(config, workdir, MAY_CHANGE)


def test_record_round_trip(tmp_path):
    config = get_config("demo")
    record(config, tmp_path / "run")
    again = config_record.read_config(tmp_path / "run")
    assert again.to_dict() == config.to_dict()
    assert isinstance(again.clips.trajectories, tuple)


def test_resumed_run_may_go_on_longer_and_be_judged_anew(tmp_path):
    config = get_config("demo")
    record(config, tmp_path)
    config.train.num_steps += 1000
    config.evaluation.seed = 7
    record(config, tmp_path)
    assert config_record.read_config(tmp_path).train.num_steps == config.train.num_steps


def test_workdir_of_another_config_is_refused_field_by_field(tmp_path):
    record(get_config("demo"), tmp_path)
    config = get_config("demo")
    config.model.structure_dim = 5
    config.clips.trajectories = ("sinusoid",)
    config.extra = ConfigDict({"field": 1})
    with pytest.raises(ValueError, match="another config") as error:
        record(config, tmp_path)
    for line in (
        "clips.trajectories: ['sinusoid', 'random_walk'] there, ['sinusoid'] now",
        "extra.field: absent there, 1 now",
        "model.structure_dim: 16 there, 5 now",
        "another --workdir",
        f"What is absent there came with a later version: add it to {tmp_path / 'config.json'}",
    ):
        assert line in str(error.value)
    assert config_record.read_config(tmp_path).model.structure_dim == 16


@pytest.mark.parametrize("process", [0, 1])
def test_the_process_that_wrote_takes_back_what_failed(tmp_path, monkeypatch, process):
    """Another one, which fails of itself, leaves the files of the first, clips among them."""
    monkeypatch.setattr(jax, "process_index", lambda: process)

    def fail():
        with config_record.undo_on_error(tmp_path):
            record(get_config("demo"), tmp_path)
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ([] if process == 0 else ["config.json"])


def test_a_run_from_before_a_field_goes_on_where_the_field_says_nothing(tmp_path):
    before = get_config("demo")
    with before.unlocked():
        del before.directions.videos
    record(before, tmp_path)
    record(get_config("demo"), tmp_path)
    config = get_config("demo")
    config.directions.videos = "latents"
    with pytest.raises(ValueError, match=r"directions\.videos: absent there, latents now"):
        record(config, tmp_path)


def test_folder_without_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a training workdir nor an exported folder"):
        config_record.read_config(tmp_path / "nowhere")


@pytest.mark.parametrize(("text", "message"), [('{"seed": 1, "gen', "is cut short"), ("[1]", "no config")])
def test_a_damaged_record_is_named(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    for call in (lambda: config_record.read_config(tmp_path), lambda: record(get_config(), tmp_path)):
        with pytest.raises(ValueError, match=f"{tmp_path / 'config.json'} .*{message}"):
            call()
    assert (tmp_path / "config.json").read_text() == text
