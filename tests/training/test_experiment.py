"""A run's start: what is invalid is refused before anything is written; the record says which generator it was."""

import os
import re
import shutil
from typing import Any

import jax
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.configs import faces64
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.generators import digest
from disentangle_jax.training import experiment, rules
from disentangle_jax.training.dry_run import dry_run
from disentangle_jax.training.step import Advance
from stylegan2_flax.run import config_record
from stylegan2_flax.run.dry_run import Needs
from stylegan2_flax.run.lock import locked


@pytest.fixture(scope="module")
def generators():
    """Two generators of one size."""
    sizes: dict[str, Any] = {
        "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
    }
    build = jax.jit(lambda key: sg2.Generator(16, 0, 8, 8, **sizes, rngs=nnx.Rngs(key)))
    return build(jax.random.key(0)), build(jax.random.key(1))


@pytest.fixture
def config(generators, tmp_path):
    sg2.save(generators[0], tmp_path / "mine.safetensors")
    config = faces64.get_config("demo,linear")
    config.generator = str(tmp_path / "mine.safetensors")
    config.directions.update(source="random", num_samples=64, layers=(0, 2), num=2)
    config.clips.update(mix_from=3, stats_samples=64, trajectories=("sinusoid",))
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=0)
    config.optimizer.update(name="adamw", warmup_steps=1)
    config.train.update(batch_size=8, num_steps=2, log_every=1)
    return config


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("directions", {"source": "scorer", "scorer": "judge_z"}, "unknown scorer 'judge_z'"),
        (
            "directions",
            {"tail": 0.6, "ridge": 0.0},
            "ridge must be positive, .*\n.*tail must be above 0, and 0.5 at most",
        ),
        ("directions", {"layers": (0, 4)}, "do not lie within the generator's 0 to 3"),
        ("purify", {"steps": 2, "scorer": "judge_z"}, "unknown scorer 'judge_z'"),
        ("clips", {"classes": (1,)}, "it has no classes"),
        ("clips", {"trajectories": ("teleport",)}, "unknown trajectory teleport"),
        ("clips", {"appearance": 1.0, "appearance_from": "nowhere.npy"}, "neither a file nor scorer"),
        ("clips", {"truncation_psi": float("nan"), "bound": 0.0}, "clips.bound must be .*\n.*truncation_psi must be a"),
        ("clips", {"tau": -1.0}, "clips.tau must be positive"),
        ("clips", {"appearance": -1.0}, "clips.appearance must be 0 or more"),
        ("data", {"source": "dreams"}, "data.source must be one of generated, stored, got 'dreams'"),
        ("data", {"source": "stored", "directory": "/nowhere"}, "/nowhere"),
        ("optimizer", {"warmup_steps": 9}, r"optimizer.warmup_steps \(9\) must be below train.num_steps \(2\)"),
        ("train", {"checkpoint_every": 0, "log_every": 0}, "log_every must be .* 1, got 0\n.*checkpoint_every must be"),
        ("train", {"keep_checkpoints": 0}, "train.keep_checkpoints must be a whole number of at least 1, got 0"),
        ("train", {"batch_size": 0}, "train.batch_size must be"),
        ("train", {"batch_size": 1}, "one clip .* has no variance but its own, to which"),
        ("train", {"profile_steps": (5, 2)}, r"train.profile_steps must be \(first, last\)"),
        ("model", {"width": 0, "dtype": "float17"}, "model.width must be .*\n.*model.dtype must be one of float32"),
        ("loss", {"weights": {"swap": -1.0}}, "loss.weights.swap must be 0 or more, got -1.0"),
        ("loss", {"weights": {"factors": 1.0}}, "factors=1 needs a latent readout, which .*linear.* has not"),
        ("directions", {"layers": (3,)}, r"directions.layers must be \(first, last\), got \(3,\)"),
        (
            "loss",
            {"weights": {"swop": 1.0}},
            r"reads the config's loss.weights.swop \(did you mean loss.weights.s",
        ),
        ("loss", {"appearance_contrast": {"block_size": 5}}, r"block_size \(5\) must divide the 32 embeddings"),
    ],
)
def test_what_can_be_known_at_the_start_is_refused_before_anything_is_written(
    config, tmp_path, section, change, message
):
    config[section].update(**change)
    with pytest.raises((ValueError, OSError), match=message):
        experiment.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_whole_run_begins_with_is_checked_too(config, tmp_path):
    config.update(seed=2**32, generator="")
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to 4294967295") as error:
        experiment.run(config, tmp_path / "run")
    assert "generator must be a generator's name, path or URL, got ''" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_judge_that_taught_the_model_is_told():
    config = faces64.get_config()
    assert rules.taught_by_judge(config) is None
    config.purify.scorer = "judge_b"
    assert rules.taught_by_judge(config) is None  # nothing is purified
    config.purify.steps = 4
    assert "evaluation.judge and purify.scorer are both judge_b" in str(rules.taught_by_judge(config))
    config.directions.update(source="mine.npy", scorer="judge_b")  # the readout is still fitted to what it reads
    assert "evaluation.judge and directions.scorer are both judge_b" in str(rules.taught_by_judge(config))
    config.update_from_flattened_dict({"readout.source": "readout.safetensors", "purify.steps": 0})
    assert rules.taught_by_judge(config) is None
    for section, values in (("clips", {"appearance": 0.5}), ("purify", {"steps": 4, "scorer": "judge_a"})):
        other = config.copy_and_resolve_references()
        other[section].update(values)  # both move clips along its directions
        assert "evaluation.judge and directions.scorer are both judge_b" in str(rules.taught_by_judge(other))


def test_one_clip_has_negatives_of_its_own_but_no_ratio_of_appearance(config):
    config.train.batch_size = 1
    config.loss.weights.update(appearance_contrast=0.0, appearance_ratio=0.0)
    for negatives in ("clip", "both"):
        config.loss.structure_contrast.negatives = negatives
        rules.check(config)
    config.loss.structure_contrast.negatives = "batch"
    with pytest.raises(ValueError, match=r"leaves loss\.structure_contrast no negatives"):
        rules.check(config)
    config.loss.weights.update(structure_contrast=0.0, appearance_ratio=10.0)
    with pytest.raises(ValueError, match=r"no variance but its own, to which loss\.appearance_ratio"):
        rules.check(config)


def test_settings_that_teach_identity_are_warned_about(config, tmp_path, capsys):
    experiment.prepare(config, tmp_path)
    assert capsys.readouterr().err == ""
    config.clips.change_face = 0.5
    experiment.prepare(config, tmp_path)
    assert "warning: with clips.change_face=0.5 an augmented frame may keep looks" in capsys.readouterr().err
    config.loss.structure_contrast.negatives = "clip"
    experiment.prepare(config, tmp_path)
    assert capsys.readouterr().err == ""


def test_a_dry_run_lowers_the_step_of_the_run_and_writes_nothing(config, tmp_path, monkeypatch):
    lowered, lower = [], Advance.lower
    monkeypatch.setattr(Advance, "lower", lambda *arguments: lowered.append(lower(*arguments)) or lowered[-1])
    monkeypatch.setattr(Needs, "of", lambda program: Needs(0, 0, 0, 3e9))
    text = dry_run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    rows = dict(re.split("  +", line, maxsplit=1) for line in text.splitlines())
    assert rows["mesh"].startswith("8 x cpu,")
    assert rows["batch"] == "8 clips a step, 1 on each device"
    assert rows["operations"].startswith("3 GFLOP a step on each device")

    states = []

    def end(trainer, schedule, workdir):
        states.append(trainer.init())
        with pytest.raises(RuntimeError, match="enough"):
            trainer.advance(states[0], 1)
        return states[0]

    def stop(lowered):
        raise RuntimeError("enough")

    monkeypatch.setattr(experiment, "train", end)
    monkeypatch.setattr(jax.stages.Lowered, "compile", stop)
    experiment.run(config, tmp_path / "run")
    assert lowered[0].as_text() == lowered[1].as_text()
    assert rows["parameters"].startswith(f"{sum(leaf.size for leaf in jax.tree.leaves(states[0].params)):,}: ")
    config.model.width = 32
    with pytest.raises(ValueError, match="holds a run with another config"):
        dry_run(config, tmp_path / "run")


def test_missing_clips_are_said_before_directions_are_sought(config, tmp_path, monkeypatch):
    monkeypatch.delattr(experiment, "build_clip_source")
    config.data.update(source="stored", directory=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"'synthetic_clips' in '.*nowhere' cannot be opened"):
        experiment.run(config, tmp_path / "run")


def test_a_judge_that_does_not_exist_is_refused_before_training(config, tmp_path):
    config.generator = "faces64"
    config.evaluation.judge = "judge_z"
    with pytest.raises(ValueError, match="unknown scorer 'judge_z'"):
        experiment.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_workdir_knows_its_generator_wherever_the_file_lies(config, generators, tmp_path, monkeypatch):
    run, file = tmp_path / "run", tmp_path / "mine.safetensors"
    monkeypatch.chdir(tmp_path)
    config.generator = "mine.safetensors"
    experiment.run(config, run)
    recorded = config_record.read_config(run)
    assert (recorded.generator, recorded.generator_digest) == (str(file), digest(generators[0]))
    monkeypatch.chdir(run)
    assert Disentangler.load(run).steps == config.train.num_steps

    (tmp_path / "elsewhere").mkdir()
    file.rename(tmp_path / "elsewhere" / "other.safetensors")
    with pytest.raises(FileNotFoundError, match=r"copy it to .*run/generator\.safetensors"):
        Disentangler.load(run)
    config.generator = str(tmp_path / "elsewhere" / "other.safetensors")
    experiment.run(config, run)
    assert config_record.read_config(run).generator == config.generator

    (tmp_path / "elsewhere" / "other.safetensors").rename(run / "generator.safetensors")
    experiment.run(config, run)
    assert digest(Disentangler.load(run).generator) == digest(generators[0])

    sg2.save(generators[1], run / "generator.safetensors")
    with pytest.raises(ValueError, match="is another generator than the one"):
        Disentangler.load(run)
    with pytest.raises(ValueError, match="generator_digest"):
        experiment.run(config, run)


def test_a_run_resumes_from_any_folder_without_the_file_of_its_directions(config, tmp_path, monkeypatch):
    experiment.run(config, tmp_path / "first")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first" / "directions.safetensors").rename("saved.safetensors")
    config.directions.source = "saved.safetensors"
    config.train.checkpoint_every = 1
    experiment.run(config, "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "2")
    recorded = config_record.read_config(tmp_path / "run")
    assert recorded.directions.source == str(tmp_path / "saved.safetensors")
    (tmp_path / "saved.safetensors").unlink()
    monkeypatch.chdir("/")
    monkeypatch.setattr(Needs, "of", lambda program: Needs(0, 0, 0, 3e9))
    assert "3 GFLOP a step" in dry_run(recorded, tmp_path / "run")
    assert experiment.run(recorded, tmp_path / "run").step == 2
    assert (tmp_path / "run" / "checkpoints" / "2").exists()


def test_folders_in_the_working_directory_are_found_from_others(config, generators, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config.data.directory = "clips"
    config.directions.update(source="videos", videos="latents")
    recorded = experiment.as_recorded(config, generators[0])
    assert (recorded.data.directory, recorded.directions.videos) == (f"{tmp_path}/clips", f"{tmp_path}/latents")
    assert recorded.directions.source == "videos"


def test_a_workdir_has_one_owner(config, tmp_path):
    with locked(tmp_path / "run"):
        with pytest.raises(OSError, match=rf"process {os.getpid()} on .* is at work in .*run since"):
            experiment.run(config, tmp_path / "run")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
