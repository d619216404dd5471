"""--config: names, files and records, and what is said of anything else."""

import json

import pytest
from absl import flags
from ml_collections import ConfigDict

from disentangle_jax import configs
from disentangle_jax.configs import faces64
from stylegan2_flax import command
from stylegan2_flax.run import config_flag, config_record


def parse(*arguments):
    """The config that a command with these arguments gets."""
    values = flags.FlagValues()
    holder = config_flag.define(values, configs)
    command.run(lambda: None, values, ["command", *arguments])
    return holder.value


def test_a_config_goes_by_name_by_path_and_as_a_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = parse("--config=faces64:demo,no_contrast")
    assert named.to_dict() == faces64.get_config("demo,no_contrast").to_dict()
    assert named.is_locked
    path = tmp_path / "mine.py"
    path.write_text("from disentangle_jax.configs import faces64\n\n\ndef get_config(arg='demo'):\n")
    path.write_text(path.read_text() + "    config = faces64.get_config(arg)\n    config.seed = 7\n    return config\n")
    assert parse(f"--config={path}:no_contrast").loss.weights.structure_contrast == 0
    assert parse("--config=mine.py").train.num_steps == faces64.get_config("demo").train.num_steps
    config_record.write_config(named, tmp_path / "run")
    assert parse("--config=run/config.json").to_dict() == named.to_dict()


def test_fields_are_set_in_any_of_them(tmp_path):
    config_record.write_config(faces64.get_config("demo"), tmp_path)
    for text in ("faces64", f"{tmp_path}/config.json"):
        config = parse(
            f"--config={text}",
            "--config.train.num_steps=7",
            "--config.clips.trajectories=('spline',)",
            "--config.seed=2",
        )
        assert (config.train.num_steps, config.clips.trajectories, config.seed) == (7, ("spline",), 2)
    assert parse("--config=faces64").seed == 0


def test_a_field_that_is_on_or_off_needs_no_value(tmp_path):
    config = parse(
        "--config=faces64", "--config.train.tensorboard", "--config.model.learn_temperature", "--config.seed=2"
    )
    assert (config.train.tensorboard, config.model.learn_temperature, config.seed) == (True, True, 2)
    assert not parse("--config=faces64", "--noconfig.train.tensorboard", "--config.seed", "3").train.tensorboard
    config_record.write_config(faces64.get_config("demo"), tmp_path)
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    config_flag.define_overrides(values, "workdir")
    command.run(lambda: None, values, ["command", "--config.train.tensorboard", f"--workdir={tmp_path}"])
    assert config_flag.overrides(values) == {"train.tensorboard": True}


def test_a_config_with_a_default_need_not_be_named():
    values = flags.FlagValues()
    holder = config_flag.define(values, configs, default="inversion")
    for arguments, expected in (
        (["--config.optimise.steps=5"], (5, 0.05)),
        (["--config=inversion", "--config.optimise.learning_rate=0.2"], (1000, 0.2)),
        (["--config", "inversion", "--config.optimise.steps", "5"], (5, 0.05)),
        ([], (1000, 0.05)),
    ):
        command.run(lambda: None, values, ["command", *arguments])
        assert (holder.value.optimise.steps, holder.value.optimise.learning_rate) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=faces65"], "there is no config 'faces65': it is neither a file, nor a name .*faces64, ffhq1024"),
        (["--config=faces64:dmeo"], "unknown switch 'dmeo'"),
        (["--config=notes.txt"], r"notes.txt, line 1: SyntaxError: .*A config is a Python file with a function"),
        (["--config=empty.py"], "empty.py: AttributeError: .*get_config"),
        (["--config=none.py"], "none.py: get_config returned NoneType"),
        (["--config=slip.py"], "slip.py, line 2: NameError: name 'nmae' is not defined"),
        (["--config=torn.json"], "torn.json is cut short or is no JSON"),
        (["--config=list.json"], "list.json holds no config, but list"),
        (["--config=list.json:demo"], "takes no switches"),
        (["--config=nowhere.json"], "there is no config nowhere.json"),
        (["--config=faces64", "--config.optimiser.b1=0.5"], "the config has no field .*optimiser"),
        (["--config=faces64", "--config.train.num_step=5"], 'no field .*num_step.*Did you mean "num_steps"'),
        (["--config=faces64", "--config.train.num_steps=many"], "--config.train.num_steps=many"),
        (["--config=faces64", "--config.train=5"], "--config.train=5"),
        (["--config.train.num_steps=5", "--config=faces64"], "before a value for --config"),
        ([], "--config is missing"),
    ],
)
def test_what_is_no_config_is_told_in_a_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("These are notes.")
    (tmp_path / "empty.py").touch()
    (tmp_path / "none.py").write_text("def get_config():\n    pass\n")
    (tmp_path / "slip.py").write_text("def get_config():\n    return nmae\n")
    (tmp_path / "torn.json").write_text('{"train": {"num_ste')
    (tmp_path / "list.json").write_text(json.dumps([1]))
    with pytest.raises(SystemExit, match=message) as stop:
        parse(*arguments)
    assert str(stop.value.code).startswith("error: ")
    assert "\n" not in str(stop.value.code)


def test_a_config_dict_is_what_commands_get(tmp_path):
    assert isinstance(parse("--config=gan_faces64"), ConfigDict)


def set_fields(*arguments):
    """The folder and the fields of a command that takes the config of a run's folder."""
    values = flags.FlagValues()
    folder = flags.DEFINE_string("workdir", None, "", flag_values=values)
    config_flag.define_overrides(values, "workdir")
    command.run(lambda: None, values, ["command", *arguments])
    return folder.value, config_flag.overrides(values)


def test_fields_of_a_run_are_set_in_any_order(tmp_path):
    config_record.write_config(faces64.get_config("demo"), tmp_path)
    fields = ("--config.evaluation.num_pairs=7", "--config.clips.classes=(1, 2)")
    expected = (str(tmp_path), {"evaluation.num_pairs": 7, "clips.classes": (1, 2)})
    assert set_fields(*fields, f"--workdir={tmp_path}") == expected
    assert set_fields(f"--workdir={tmp_path}", *fields) == expected
    apart = [part for field in fields for part in field.split("=")]
    assert set_fields(*apart, "--workdir", str(tmp_path)) == expected
    assert set_fields(f"--workdir={tmp_path}") == (str(tmp_path), {})
    assert set_fields("--workdir=/nowhere") == ("/nowhere", {})  # what is wrong with it is for the command to say


def test_the_config_of_a_run_is_not_exchanged(tmp_path):
    config_record.write_config(faces64.get_config("demo"), tmp_path)
    with pytest.raises(SystemExit, match="the config is that of the run"):
        set_fields(f"--workdir={tmp_path}", "--config=faces64")
    with pytest.raises(SystemExit, match=r"there is no config /nowhere/config\.json"):
        set_fields("--workdir=/nowhere", "--config.seed=3")


def test_a_command_without_named_configs_asks_for_a_file():
    with pytest.raises(ValueError, match=r"there is no config 'faces64': it is no file$"):
        config_flag.load("faces64")


def test_colons_of_a_path_are_no_switches(tmp_path):
    folder = tmp_path / "faces64:demo"
    config_record.write_config(faces64.get_config("demo"), folder)
    (folder / "mine.py").write_text("from disentangle_jax.configs.faces64 import get_config")
    assert parse(f"--config={folder}/config.json").to_dict() == faces64.get_config("demo").to_dict()
    assert parse(f"--config={folder}/mine.py:plain").to_dict() == faces64.get_config("plain").to_dict()
