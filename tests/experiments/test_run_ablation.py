"""Ablations: every point of every file is a valid experiment; runs are resumed; results are told."""

import csv
import re
from pathlib import Path

import pytest

from disentangle_jax import configs
from disentangle_jax.training import rules
from stylegan2_flax import command
from stylegan2_flax.run import config_flag

SCRIPT = Path(__file__).parents[2] / "experiments" / "run_ablation.py"
PAGE = Path(__file__).parents[2] / "docs" / "ablations.md"


@pytest.fixture(scope="module")
def script(load_module):
    return load_module(SCRIPT)


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPT.with_name("ablations").glob("*.py")))
def test_each_asks_one_question_and_all_its_points_are_valid_and_differ(script, name, tmp_path):
    ablation = script.load(*script.find(name))
    assert ablation.question.endswith("?")
    seen = set()
    for changes in ablation.points.values():
        config = config_flag.load(ablation.config, configs)
        config.update_from_flattened_dict(changes)
        rules.check(config)
        rules.check_objective(config)
        if shared := script._shared_directions(config, changes, tmp_path):
            directions = config_flag.load(ablation.config, configs)
            directions.update_from_flattened_dict(shared[1])
            rules.check(directions)
        seen.add(config.to_json())
    assert len(seen) == len(ablation.points) > 1


def test_the_page_lists_every_question():
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    files = SCRIPT.with_name("ablations").glob("*.py")
    assert listed == {path.stem: path.read_text(encoding="utf-8").split("\n")[0].strip('"') for path in files}


TWO = {"narrow": {"model.structure_dim": 4}, "mixed faces": {"directions.style_mixing": 0.5}, "wide": {}}


@pytest.fixture
def ablation(script):
    return script.Ablation("width", "How wide?", "faces64:demo", TWO)


def test_points_share_the_directions_that_are_the_same(script, ablation, tmp_path):
    narrow, mixed, wide, other_seed = list(script.jobs_of(ablation, range(2), tmp_path))[:4]
    assert narrow.commands[0] == wide.commands[0]
    assert len({job.commands[0][-1] for job in (narrow, mixed, other_seed)}) == 3
    other = script.Ablation("other", "How?", "faces64:demo", {"as it is": {}})
    plan = [(ablation, [narrow, mixed, wide]), (other, list(script.jobs_of(other, [0], tmp_path)))]
    listed = script.job_list(plan).splitlines()
    assert sum("find_directions" in line for line in listed) == 2
    assert sum("disentangle_jax.train" in line for line in listed) == 3, "wide is the other question's point, too"


def test_points_of_one_config_share_the_run(script, ablation, tmp_path):
    other = script.Ablation("other", "How?", "faces64:demo", {"as it is": {}, "batch": {"train.batch_size": 16}})
    workdirs = [[job.workdir for job in script.jobs_of(each, [0], tmp_path)] for each in (ablation, other)]
    assert set(workdirs[0]) & set(workdirs[1]) == {workdirs[0][2]} == {workdirs[1][0]}


METRICS = {
    "transfer": {"structure_r2": 0.75, "appearance_r2": 0.5, "psnr": 20.0},
    "probes": {"r2": {"ridge": {"appearance code": {"structure": {"r2": 0.25}}}}},
    "retrieval": {"same_motion": {"structure code": {"recall": 1.0}}},
}


class Machine:
    """Stands in for the commands: notes them, and leaves what they would leave."""

    returncode = 0

    def __init__(self, stops_at=None):
        self.lines, self.stops_at = [], stops_at

    def __call__(self, line, environment):
        assert environment["JAX_COMPILATION_CACHE_DIR"]
        self.lines.append(line)
        if len(self.lines) == self.stops_at:
            raise KeyboardInterrupt
        folder = Path(line[-1].split("=", 1)[1])
        if "find_directions" in line[2]:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "directions.safetensors").touch()
        return self.returncode

    def measure(self, workdir):
        return METRICS


def test_a_stopped_ablation_goes_on_and_its_results_are_written(script, ablation, tmp_path, monkeypatch, capsys):
    jobs = list(script.jobs_of(ablation, range(2), tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    machine = Machine(stops_at=4)
    monkeypatch.setattr(script, "_call", machine)
    with pytest.raises(KeyboardInterrupt):
        script.train(ablation, jobs, tmp_path / "compiled")
    machine = Machine()
    monkeypatch.setattr(script, "_call", machine)
    script.train(ablation, jobs, tmp_path / "compiled")
    modules = [line[2].rsplit(".")[-1] for line in machine.lines]
    assert modules == ["train"] * 3 + ["find_directions", "train"] * 2 + ["train"]
    script.measure(jobs, machine)
    script.write_results(ablation, jobs, tmp_path / "width")
    with (tmp_path / "width" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["point"], row["seed"]) for row in rows][:4] == [*((name, "0") for name in TWO), ("narrow", "1")]
    assert rows[0]["structure R²"] == "0.75"
    assert rows[0]["appearance in the structure code"] == ""
    table = (tmp_path / "width" / "results.md").read_text()
    assert "**How wide?**" in table
    assert "| wide | 0.75 ± 0.00 | 0.50 ± 0.00 | 20.00 ± 0.00 | 0.25 ± 0.00 |  |  |  | 1.00 ± 0.00 |" in table
    assert table in capsys.readouterr().out
    assert (tmp_path / "width" / "results.png").stat().st_size > 1000


def test_a_run_that_fails_is_named(script, ablation, tmp_path, monkeypatch):
    machine = Machine()
    machine.returncode = 1
    monkeypatch.setattr(script, "_call", machine)
    with pytest.raises(OSError, match="narrow, seed 0, ended with an error"):
        script.train(ablation, list(script.jobs_of(ablation, [0], tmp_path)), tmp_path / "compiled")


def test_an_unknown_ablation_is_named_with_those_there_are(script):
    with pytest.raises(SystemExit, match=r"unknown ablation 'nope': choose all, or one of .*losses"):
        command.run(script.main, script.FLAGS, ["run_ablation.py", "nope"], ("NAME",))
