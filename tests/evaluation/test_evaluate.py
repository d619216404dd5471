"""python -m disentangle_jax.evaluate, on a run of a generator that nothing is known about."""

import html
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from disentangle_jax import evaluate, train, transfer
from disentangle_jax.configs import faces64
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.report.commands import command_lines
from stylegan2_flax import command
from stylegan2_flax.run import config_record


@pytest.fixture
def run(workdir, tmp_path):
    """A copy to change, without the digests that an export has and a workdir has not."""
    folder = shutil.copytree(workdir, tmp_path / "run")
    (folder / "SHA256SUMS").unlink()
    return folder


def call(workdir, compare=(), *fields):
    given = [f"--compare={comparison}" for comparison in compare]
    command.run(evaluate.main, evaluate.FLAGS, ["evaluate", *fields, f"--workdir={workdir}", *given])


def another_seed(run, folder):
    shutil.copytree(run, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"seed": config["seed"] + 1}))
    return folder


def refusal(*arguments):
    """The one line that a wrong call ends with."""
    with pytest.raises(SystemExit) as stop:
        call(*arguments)
    assert isinstance(stop.value.code, str)
    assert "\n" not in stop.value.code
    return stop.value.code


def test_a_report_and_its_numbers_are_written(capsys, run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["loss"]["weights"]["swap"] = 0.0
    config["directions"]["source"] = "a file of the same directions"
    (other / "config.json").write_text(json.dumps(config))
    seeded = another_seed(run, tmp_path / "seeded")
    call(run, [f"another one={other}"], f"--seed_run={seeded}")
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert set(metrics["reenactment"]) == {"num_clips", "proxies", "self"}
    assert set(metrics["motion"]["methods"]) == {
        "copy source",
        "copy driving",
        "linear transfer",
        "another one",
        "ours",
    }
    assert "transfer" not in metrics
    assert metrics["seeds"]["num"] == 2
    rebuilt = metrics["seeds"]["headlines"]["latents rebuilt, R²"]
    assert rebuilt == {"mean": rebuilt["mean"], "std": 0.0, "values": [rebuilt["mean"]] * 2}  # one and the same model
    page = (run / "report.html").read_text()
    assert "data:image/gif;base64," in page
    assert "logged in training" in page
    assert "Over 2 seeds" in page
    assert "Its config differs in loss.weights.swap = 0.0 (ours: 1.0)." in " ".join(page.split())
    output = capsys.readouterr().out
    assert "expression and pose are left out: a face is found in 0 of 4 images" in output
    assert output.rstrip().endswith(f"Open {run / 'report.html'}")
    assert not [path for path in (run / "eval").iterdir() if path.name.startswith(".")]
    commands = html.unescape(re.findall(r"<pre>\s*(python .*?)</pre>", page, re.DOTALL)[0]).strip().split("\n")
    for line, flag_values in zip(commands, (train.FLAGS, evaluate.FLAGS, transfer.FLAGS), strict=True):
        assert command.parse(flag_values, shlex.split(line)[2:])[1:] == []
    beside_the_model = {"generator": str(run / "generator.safetensors")}
    assert train.CONFIG.value.to_dict() == config_record.read_config(run).to_dict() | beside_the_model
    assert evaluate.COMPARE.value == [f"another one={other}"]


def test_metrics_outlast_a_failing_picture_and_fields_are_set_for_one_evaluation(capsys, monkeypatch, run):
    def fail(*_):
        raise OSError("no room for pictures")

    monkeypatch.setattr(evaluate, "save_pictures", fail)
    record = (run / "config.json").read_text()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    fields = ["--config.evaluation.motion.num_clips=2", "--config.evaluation.pictures.num_clips=1"]
    assert refusal(run, [], *fields) == "error: no room for pictures"
    output = capsys.readouterr().out
    assert f"{run / 'metrics.jsonl'}: 1 damaged or cut-off line is left out" in output
    assert output.index("cut-off") < output.index("held-out")
    assert json.loads((run / "eval" / "metrics.json").read_text())["motion"]["num_clips"] == 2
    assert not (run / "report.html").exists()
    assert (run / "config.json").read_text() == record


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("--config.evaluation.batch_size=0", "evaluation.batch_size must be a whole number of at least 1, got 0"),
        (
            "--config.evaluation.motion.num_frames=2",
            "evaluation.motion.num_frames must be a whole number of at least 3",
        ),
        ("--config.evaluation.motion.num_clips=1", "evaluation.motion.num_clips must be a whole number of at least 2"),
        ("--config.evaluation.probes.num_faces=3", "evaluation.probes.num_faces (3) leaves 1 faces for testing"),
        ("--config.model.width=7", "model.width cannot be set here: the model is trained already"),
    ],
)
def test_fields_are_checked_before_any_work(capsys, run, field, message):
    assert message in refusal(run, [], field)
    assert "held-out" not in capsys.readouterr().out
    assert not (run / "eval").exists()


@pytest.mark.parametrize(
    ("channels", "c_dim", "resolution"), [(1, 3, 4), pytest.param(4, 0, 8, marks=pytest.mark.slow)]
)
def test_grey_transparent_and_conditional_generators_are_evaluated(
    export_untrained, tmp_path, channels, c_dim, resolution
):
    export_untrained(tmp_path, resolution, c_dim, channels)
    call(tmp_path)
    assert "data:image/gif;base64," in (tmp_path / "report.html").read_text()
    assert set(json.loads((tmp_path / "eval" / "metrics.json").read_text())) == {
        "motion",
        "probes",
        "retrieval",
        "reconstruction",
        "reenactment",
    }


def test_a_run_that_was_stopped_is_no_seed(run, tmp_path, monkeypatch):
    seeded, load = another_seed(run, tmp_path / "seeded"), Disentangler.load

    def stopped(folder):
        model = load(folder)
        model.steps = model.config.train.num_steps - (str(folder) == str(seeded))
        return model

    monkeypatch.setattr(Disentangler, "load", stopped)
    last = load(run).config.train.num_steps
    message = f"is trained for {last - 1} of {last} steps: run its command again"
    assert message in refusal(run, [], f"--seed_run={seeded}")


def test_runs_that_are_not_of_one_experiment_or_of_one_seed_are_no_seeds(capsys, run, tmp_path):
    assert "has the seed of the workdir, 0: there is nothing to compare" in refusal(run, [], f"--seed_run={run}")
    seeded = another_seed(run, tmp_path / "seeded")
    config = json.loads((seeded / "config.json").read_text())
    config["loss"]["weights"]["swap"] = 0.5
    (seeded / "config.json").write_text(json.dumps(config))
    assert "is another experiment: it differs in loss.weights.swap" in refusal(run, [], f"--seed_run={seeded}")
    assert "the name none of" in refusal(run, [f"exact images={seeded}"])
    assert "held-out" not in capsys.readouterr().out


def test_only_fields_of_the_own_config_can_be_set(run):
    with pytest.raises(SystemExit, match="the config has no field"):
        call(run, [], "--config.evaluation.nmu_pairs=7")
    with pytest.raises(SystemExit, match="the config is that of the run: only its fields can be set"):
        call(run, [], "--config=faces64")


def test_a_judge_that_does_not_exist_is_named_before_any_work(capsys, run):
    config = json.loads((run / "config.json").read_text())
    config["generator"] = "faces64"
    (run / "config.json").write_text(json.dumps(config))
    assert "unknown scorer 'nobody'" in refusal(run, [], "--config.evaluation.judge=nobody")
    assert "the true factors of faces64 are known" in refusal(run, [], "--arcface=weights.pth")
    assert "held-out" not in capsys.readouterr().out


def test_what_should_read_faces_is_looked_for_before_any_work(capsys, run):
    assert "unknown face finder 'nobody'" in refusal(run, [], "--face_finder=nobody")
    assert "weights.pth" in refusal(run, [], "--arcface=/nowhere/weights.pth")
    assert "held-out" not in capsys.readouterr().out


def test_a_config_that_is_cut_short_is_named(run):
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text[:-50])
    assert f"{run / 'config.json'} is cut short or is no JSON" in refusal(run)
    with pytest.raises(SystemExit, match=r"config\.json is cut short or is no JSON"):
        call(run, [], "--config.evaluation.batch_size=8")


def test_an_output_that_cannot_be_written_is_told_before_any_work(capsys, run):
    (run / "eval").write_text("a file")
    assert f"{run / 'eval'} is a file" in refusal(run)
    (run / "eval").unlink()
    (run / "report.html").mkdir()
    assert f"{run / 'report.html'} is a folder" in refusal(run)
    assert "held-out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (["nothing"], "NAME=WORKDIR"),
        (["ours=here"], "none of copy source"),
        (["source=here"], "none of copy source"),
        (["x=/nowhere/at/all"], "/nowhere/at/all"),
        (["x=here", "x=there"], "none of .*x; got 'x=there'"),
    ],
)
def test_wrong_comparisons_are_told_and_write_nothing(run, compare, message):
    assert re.search(message, refusal(run, compare))
    assert not (run / "report.html").exists()


def test_a_workdir_is_asked_for(tmp_path):
    with pytest.raises(SystemExit, match="--model is missing"):
        command.run(evaluate.main, evaluate.FLAGS, ["evaluate"])
    with pytest.raises(SystemExit, match=r"config\.json"):
        call(tmp_path)


def test_a_bundled_model_is_evaluated_into_a_folder_of_the_users_own():
    with pytest.raises(SystemExit, match="faces64 is no folder of yours: say where to write the report, with --out="):
        command.run(evaluate.main, evaluate.FLAGS, ["evaluate", "--model=faces64"])


@pytest.mark.slow
def test_the_report_goes_where_it_is_wanted(run, tmp_path):
    out = tmp_path / "out"
    command.run(evaluate.main, evaluate.FLAGS, ["evaluate", f"--model={run}", f"--out={out}"])
    assert {"report.html", "eval"} == {path.name for path in out.iterdir()}
    assert not (run / "report.html").exists()
    assert f"--model={run} --out={out}" in (out / "report.html").read_text()


def test_what_pictures_were_looked_at_with_is_in_the_commands_of_a_report(tmp_path):
    assert evaluate.PictureOptions(None, None, 8, "none").arguments() == []
    given = evaluate.PictureOptions("dlib", "weights/arcface.pth", 3, "lpips:vgg.pth").arguments()
    here = Path.cwd()
    assert given == [
        "--face_finder=dlib",
        f"--arcface={here}/weights/arcface.pth",
        "--face_clips=3",
        f"--distance=lpips:{here}/vgg.pth",
    ]
    _, line, _ = command_lines(tmp_path, faces64.get_config(), tmp_path, {}, {}, [], given)
    assert shlex.split(line)[-4:] == given


def test_registered_models_keep_their_names_in_the_commands_of_a_report(tmp_path):
    _, line, _ = command_lines(
        tmp_path, faces64.get_config(), tmp_path, {"shipped": "faces64", "mine": "runs/x"}, {}, ["faces64"], []
    )
    compared = [word.split("=", 2)[1:] for word in shlex.split(line) if word.startswith("--compare")]
    assert compared == [["shipped", "faces64"], ["mine", str(Path("runs/x").absolute())]]
    assert "--seed_run=faces64" in line


def test_the_training_of_an_exported_model_is_repeated_with_the_files_beside_it(tmp_path):
    config = faces64.get_config()
    config.generator, config.directions.source = "generator.safetensors", "mine.npy"
    for name in ("model", "generator", "directions", "readout"):
        (tmp_path / f"{name}.safetensors").touch()
    line, _, _ = command_lines(tmp_path, config, tmp_path, {}, {}, [], [])
    assert shlex.split(line)[-2:] == [
        f"--config.generator={tmp_path}/generator.safetensors",
        f"--config.directions.source={tmp_path}/directions.safetensors",
    ]
    config.directions.update(source="videos", videos="latents")  # which nobody has who got the model
    assert command_lines(tmp_path, config, tmp_path, {}, {}, [], [])[0] == line
    config.data.update(source="stored", directory="clips")
    line, _, _ = command_lines(tmp_path, config, tmp_path, {}, {}, [], [])
    assert shlex.split(line)[-1] == "--config.data.directory=WHERE_IT_IS/clips"
