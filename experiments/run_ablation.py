"""Run an ablation: train and evaluate every point of it, with several seeds, and compare them.

    python experiments/run_ablation.py losses --seeds=3          one question
    python experiments/run_ablation.py all --seeds=1             all of them, one after another
    python experiments/run_ablation.py losses --seeds=3 --list   the commands instead, for the queue of a cluster

An ablation is a file of experiments/ablations/: its docstring opens with the question, CONFIG is what all points have
in common, and `points()` yields the name of each and what it changes of that config. All are measured on the same
held-out latents. The results lie in OUT/NAME/results.csv, results.md and results.png. Run the same command again to go
on where a stopped one was, or once a cluster has done the commands: what is trained and measured is not done again.
Points with the same directions share them, and those with the same config, of any question, the run.
"""

import csv
import hashlib
import importlib.util
import io
import json
import os
import shlex
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from disentangle_jax import configs
from disentangle_jax.directions.find import SOURCES
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain, load_judged_domain
from disentangle_jax.evaluation.held_out import HeldOut, held_out
from disentangle_jax.evaluation.motion import make_animator
from disentangle_jax.evaluation.seeds import metric_at
from disentangle_jax.evaluation.suite import measure_alone
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag

FLAGS = flags.FlagValues()
OUT = flags.DEFINE_string("out", "runs/ablations", "folder of all results", flag_values=FLAGS)
SEEDS = flags.DEFINE_integer("seeds", 1, "how many seeds, from 0 on", lower_bound=1, flag_values=FLAGS)
LIST = flags.DEFINE_bool("list", False, "print the commands and run none", flag_values=FLAGS)

FOLDER = Path(__file__).parent / "ablations"
SEED_OF_FACES = 2
"""The `evaluation.seed` of all points. An evaluation has another one, so that what is chosen here is not chosen on the
faces of its figures."""

COLUMNS = {
    "structure R²": "transfer/structure_r2",
    "appearance R²": "transfer/appearance_r2",
    "PSNR, dB": "transfer/psnr",
    "structure in the appearance code": "probes/r2/ridge/appearance code/structure/r2",
    "appearance in the structure code": "probes/r2/ridge/structure code/appearance/r2",
    "mixed faces: structure in the appearance code": "probes/mixed_r2/ridge/appearance code/structure/r2",
    "mixed faces: structure in the structure code": "probes/mixed_r2/ridge/structure code/structure/r2",
    "same motion, R@1": "retrieval/same_motion/structure code/recall",
}
"""What is compared, and where the metrics have it."""


class Ablation(NamedTuple):
    """One question.

    Attributes:
        name: of its file.
        question: the first line of its docstring.
        config: what all points have in common, as --config takes it.
        points: what each point changes of that, by name: values by the dotted names of fields.
    """

    name: str
    question: str
    config: str
    points: dict[str, dict[str, Any]]


class Job(NamedTuple):
    """One run of one point.

    Attributes:
        point: its name.
        seed: of the run.
        workdir: where it is trained.
        commands: the command lines that train it, in this order.
    """

    point: str
    seed: int
    workdir: Path
    commands: list[list[str]]

    @property
    def metrics(self) -> Path:
        return self.workdir / "ablation.json"


def main(name: str) -> None:
    out, examiner = files.local_path(OUT.value, "--out"), Examiner()
    ablations = [load(path) for path in find(name)]
    plan = [(ablation, list(jobs_of(ablation, range(SEEDS.value), out))) for ablation in ablations]
    if LIST.value:
        print(job_list(plan))
        return
    for ablation, jobs in plan:
        train(ablation, jobs, out / "compiled")
    for ablation, jobs in plan:  # not before all are trained: a process that has opened a TPU keeps it
        measure(jobs, examiner)
        write_results(ablation, jobs, out / ablation.name)


def find(name: str) -> list[Path]:
    """The file of an ablation, or all of them. Raises ValueError if there is none."""
    every = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
    if name == "all":
        return list(every.values())
    if name not in every:
        raise ValueError(f"unknown ablation {name!r}: choose all, or one of {', '.join(every)}")
    return [every[name]]


def load(path: Path) -> Ablation:
    """The ablation in a file."""
    spec = importlib.util.spec_from_file_location(f"ablation_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    question = (module.__doc__ or "").strip().split("\n")[0]
    return Ablation(path.stem, question, module.CONFIG, dict(module.points()))


def jobs_of(ablation: Ablation, seeds: Sequence[int], out: Path) -> Iterator[Job]:
    """The runs of an ablation, seed by seed, so that a table is whole after the first one."""
    for seed in seeds:
        for point, overrides in ablation.points.items():
            changes = {"seed": seed, **overrides}
            config: ConfigDict = config_flag.load(ablation.config, configs)
            config.update_from_flattened_dict(dict(changes))
            workdir = out / "runs" / _digest(config.to_dict())
            commands = []
            if (shared := _shared_directions(config, changes, out)) is not None:
                folder, found_by, has_readout = shared
                commands.append([*_module("find_directions"), *_options(ablation.config, found_by), f"--out={folder}"])
                changes["directions.source"] = folder / "directions.safetensors"
                if has_readout:
                    changes["readout.source"] = folder / "readout.safetensors"
            commands.append([*_module("train"), *_options(ablation.config, changes), f"--workdir={workdir}"])
            yield Job(point, seed, workdir, commands)


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"disentangle_jax.{name}"]


def _options(config: str, changes: Mapping[str, Any]) -> list[str]:
    return [f"--config={config}", *(f"--config.{name}={value}" for name, value in changes.items())]


def _shared_directions(
    config: ConfigDict, changes: Mapping[str, Any], out: Path
) -> tuple[Path, dict[str, Any], bool] | None:
    """The folder of the directions that the changed config finds, the changes that matter to them, and whether a latent
    readout lies there too.

    None where they come from a file.
    """
    if config.directions.source not in SOURCES:
        return None
    fields = ("seed", "generator", "clips.truncation_psi", "clips.classes", "clips.motion")
    sections = ("directions.", "readout.")
    found_by = {name: value for name, value in changes.items() if name in fields or name.startswith(sections)}
    with_readout = config.clips.motion == "readout"
    content = (config.directions.to_dict(), config.seed, config.generator, config.clips.truncation_psi)
    content += (config.readout.to_dict() if with_readout else None, tuple(config.clips.classes))
    return out / "directions" / _digest(content), found_by, with_readout


def _digest(content: Any) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def job_list(plan: Sequence[tuple[Ablation, Sequence[Job]]]) -> str:
    """The commands as text: first those that find directions, then a line for each run; each part in any order.

    What several questions share stands there once, as two commands must not write into one folder at a time.
    """
    jobs = [job for _, jobs in plan for job in jobs]
    directions = {_flag(line, "--out="): shlex.join(line) for job in jobs for line in job.commands[:-1]}
    runs = {job.workdir: shlex.join(job.commands[-1]) for job in jobs}
    titles = [f"# {ablation.name}: {ablation.question}" for ablation, _ in plan]
    end = "# At last, the same command without --list: it measures what has been trained."
    return "\n".join(
        [*titles, "# First, the directions:", *directions.values(), "# Then, the runs:", *runs.values(), end]
    )


def _flag(line: Sequence[str], start: str) -> str:
    return next(argument for argument in line if argument.startswith(start))


class Examiner:
    """Measures models of one generator on the same held-out latents, which take long to find."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[JudgedDomain | None, HeldOut]] = {}

    def measure(self, workdir: Path) -> dict[str, Any]:
        """What is measured of a trained model by itself."""
        model = Disentangler.load(workdir)
        config = model.config
        config.evaluation.seed = SEED_OF_FACES
        domain = load_judged_domain(config.generator, config.evaluation.judge, model.generator.img_resolution)
        # Where no truth moves the faces, the model's own directions do.
        what = repr(
            (config.generator, config.evaluation.to_dict(), config.clips.truncation_psi, domain is None and workdir)
        )
        if what not in self._found:
            animator = make_animator(domain and domain.domain, model.directions, config.evaluation.motion)
            self._found[what] = domain, held_out(model, animator, domain and domain.domain)
        return measure_alone(model, *self._found[what])


def train(ablation: Ablation, jobs: Sequence[Job], compiled: Path) -> None:
    """Train what has not been.

    Args:
        ablation: the question.
        jobs: its runs.
        compiled: folder of compiled programs, which most runs have in common.
    """
    environment = {"JAX_COMPILATION_CACHE_DIR": str(compiled.absolute()), **os.environ}
    for number, job in enumerate(jobs, 1):
        print(f"{ablation.name}, {number} of {len(jobs)}: {job.point}, seed {job.seed}", flush=True)
        if job.metrics.exists():
            continue
        for line in job.commands:
            if line[:3] == _module("find_directions") and (_out(line) / "directions.safetensors").exists():
                continue
            if _call(line, environment) != 0:
                raise OSError(f"{job.point}, seed {job.seed}, ended with an error (above). It was: {shlex.join(line)}")


def _call(line: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command, and return its exit status. On Ctrl-C, which it gets too, it may save first."""
    process = subprocess.Popen(line, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def measure(jobs: Sequence[Job], examiner: Examiner) -> None:
    """Measure what has not been."""
    for job in jobs:
        if not job.metrics.exists():
            files.write_text(job.metrics, json.dumps(examiner.measure(job.workdir), indent=2) + "\n")


def _out(line: Sequence[str]) -> Path:
    return Path(line[-1].removeprefix("--out="))


def write_results(ablation: Ablation, jobs: Sequence[Job], folder: Path) -> None:
    """Write results.csv, a row for each run; results.md, a row for each point; and results.png."""
    results = {(job.point, job.seed): read_columns(json.loads(job.metrics.read_text())) for job in jobs}
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["point", "seed", *COLUMNS, "workdir"])
    rows.writerows([job.point, job.seed, *results[job.point, job.seed].values(), job.workdir] for job in jobs)
    files.write_text(folder / "results.csv", text.getvalue())
    points = {point: [results[key] for key in results if key[0] == point] for point in ablation.points}
    table = f"**{ablation.question}**\n\n{markdown(points)}\n"
    files.write_text(folder / "results.md", table)
    draw(ablation.question, points, folder / "results.png")
    print(f"\n{table}")


def read_columns(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The values of `COLUMNS`; None for what was not measured."""
    return {title: metric_at(metrics, place) for title, place in COLUMNS.items()}


def markdown(points: Mapping[str, Sequence[Mapping[str, float | None]]]) -> str:
    """A row for each point: means over seeds, and standard deviations where there are several."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (1 + len(COLUMNS)) + "|"]
    for point, runs in points.items():
        cells = [_cell([value for values in runs if (value := values[title]) is not None]) for title in COLUMNS]
        lines.append(f"| {point} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{spread}"


def draw(question: str, points: Mapping[str, Sequence[Mapping[str, float | None]]], path: Path) -> None:
    """A panel for each column, a row for each point, a dot for each seed."""
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(2.3 * len(COLUMNS) + 2, 0.36 * len(points) + 1.6), layout="constrained")
        panels = figure.subplots(1, len(COLUMNS), sharey=True)
        for panel, title in zip(panels, COLUMNS, strict=True):
            for row, runs in enumerate(points.values()):
                values = [value for values in runs if (value := values[title]) is not None]
                panel.plot(values, [row] * len(values), "o", color="#3b5b92", alpha=0.55, markersize=6)
            panel.set_title(textwrap.fill(title, 28), fontsize=9)
            panel.grid(color="#e8e8ec")
            panel.set_axisbelow(True)
        panels[0].set_yticks(range(len(points)), list(points))
        panels[0].invert_yaxis()
        figure.suptitle(question, fontsize=11)
        with files.atomic(path) as temporary:
            figure.savefig(temporary, dpi=110, facecolor="white")


if __name__ == "__main__":
    command.run(main, FLAGS, positional=("NAME",))
