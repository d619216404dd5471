"""python -m disentangle_jax.evaluate, on a run of a generator that nothing is known about."""

import json
import shutil

import pytest

from disentangle_jax import evaluate
from stylegan2_flax import command


@pytest.fixture
def run(workdir, tmp_path):
    return shutil.copytree(workdir, tmp_path / "run")


def call(workdir, compare=()):
    given = [f"--compare={comparison}" for comparison in compare]
    command.run(evaluate.main, evaluate.FLAGS, ["evaluate", f"--workdir={workdir}", *given])


def test_a_report_and_its_numbers_are_written(capsys, run):
    call(run, [f"another={run}"])
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert set(metrics["motion"]["methods"]) == {"copy source", "copy driving", "linear transfer", "another", "ours"}
    assert "transfer" not in metrics
    page = (run / "report.html").read_text()
    assert "data:image/gif;base64," in page
    assert "training" in page
    assert capsys.readouterr().out.rstrip().endswith(f"Open {run / 'report.html'}")
    assert not [path for path in (run / "eval").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("compare", "message"),
    [("nothing", "NAME=WORKDIR"), ("ours=here", "none of copy source"), ("x=/nowhere/at/all", "/nowhere/at/all")],
)
def test_wrong_comparisons_are_told_and_write_nothing(run, compare, message):
    with pytest.raises(SystemExit, match=message) as stop:
        call(run, [compare])
    assert isinstance(stop.value.code, str)
    assert "\n" not in stop.value.code
    assert not (run / "report.html").exists()


def test_a_workdir_is_asked_for(tmp_path):
    with pytest.raises(SystemExit, match="--workdir is missing"):
        command.run(evaluate.main, evaluate.FLAGS, ["evaluate"])
    with pytest.raises(SystemExit, match=r"config\.json"):
        call(tmp_path)
