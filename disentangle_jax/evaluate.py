"""Evaluate a trained model: python -m disentangle_jax.evaluate --workdir=runs/faces64

Writes report.html into the workdir, and metrics.json and pictures into eval/ there. --compare NAME=WORKDIR evaluates
another model beside it, and may be repeated. --config.evaluation.num_pairs=64 sets a field of the config's section
`evaluation`, for this evaluation alone.
"""

import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from disentangle_jax import media
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import load_judged_domain
from disentangle_jax.evaluation.held_out import held_out
from disentangle_jax.evaluation.motion import make_animator
from disentangle_jax.evaluation.suite import METHODS, measure
from disentangle_jax.generators import digest
from disentangle_jax.report import plots
from disentangle_jax.report.gallery import RESERVED, make_gallery
from disentangle_jax.report.pictures import save_pictures
from disentangle_jax.report.report import Compared, summary, write_report
from disentangle_jax.training import rules
from stylegan2_flax import command, files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import config_flag, config_record
from stylegan2_flax.run import metrics as records

FLAGS = flags.FlagValues()
WORKDIR = flags.DEFINE_string("workdir", None, "the training workdir to evaluate", required=True, flag_values=FLAGS)
COMPARE = flags.DEFINE_multi_string(
    "compare", [], "NAME=WORKDIR of a model to compare with; may be repeated", flag_values=FLAGS
)
config_flag.define_overrides(FLAGS, "workdir")

_TRAINED_BY = (
    *("seed", "directions.", "clips.", "purify.", "model.", "loss.", "optimizer."),
    *("train.batch_size", "train.num_steps"),
)
"""The fields of the config that make compared models differ."""


def main() -> None:
    workdir = files.storage_path(WORKDIR.value, "--workdir")
    evaluate(workdir, _named_workdirs(COMPARE.value), config_flag.overrides(FLAGS))


def evaluate(workdir: AnyPath, compare: Mapping[str, str], overrides: Mapping[str, Any]) -> None:
    """Measure, write the metrics, draw, and write the report.

    Args:
        workdir: of the model to evaluate.
        compare: the workdirs of further models, by name.
        overrides: fields of the config's section `evaluation` to set, by dotted name.

    Raises:
        ValueError: a field is invalid, a model is of another generator, or the judge does not read the domain.
        OSError: a folder is not a workdir, or nothing can be written into it.
    """
    model = Disentangler.load(workdir)
    _override(model, overrides)
    others = {name: Disentangler.load(folder) for name, folder in compare.items()}
    _check_generators(model, others)
    domain = load_judged_domain(model.config.generator, model.config.evaluation.judge, model.generator.img_resolution)
    folder = workdir / "eval"
    for path in (folder / "metrics.json", folder / "motion.gif", workdir / "report.html"):
        media.check_output(path, (path.suffix,))
    losses = _read_losses(workdir / "metrics.jsonl")
    started = time.monotonic()

    def on_stage(stage: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {stage}", flush=True)

    on_stage("held-out latents and clips")
    animator = make_animator(domain and domain.domain, model.directions, model.config.evaluation.motion)
    data = held_out(model, animator, domain and domain.domain)
    metrics, methods = measure(model, domain, others, data, on_stage)
    files.write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    print(summary(metrics))
    on_stage("pictures")
    gallery = make_gallery(model, data, methods, domain)
    config = json.loads(model.config.to_json())
    compared = {name: _compared(compare[name], other, model) for name, other in others.items()}
    commands = _commands(workdir, compare, overrides)
    with files.local_folder(folder) as local:
        save_pictures(gallery, local)
        plots.draw(metrics, losses, local)
        page = write_report(metrics, config, compared, commands, gallery, local)
    files.write_text(workdir / "report.html", page)
    print(f"Open {workdir / 'report.html'}")


def _override(model: Disentangler, overrides: Mapping[str, Any]) -> None:
    """Set fields of the model's config, which must then be valid."""
    if foreign := [name for name in overrides if not name.startswith("evaluation.")]:
        raise ValueError(
            f"{', '.join(foreign)} cannot be set here: the model is trained already, so evaluate takes "
            "--config.evaluation.FIELD=VALUE alone"
        )
    model.config.update_from_flattened_dict(dict(overrides))
    rules.check_evaluation(model.config)


def _check_generators(model: Disentangler, others: Mapping[str, Disentangler]) -> None:
    for name, other in others.items():
        if digest(other.generator) != digest(model.generator):
            raise ValueError(f"{name!r} splits latents of {other.config.generator}, not of {model.config.generator}")


def _read_losses(path: AnyPath) -> list[dict[str, int | float]]:
    """The record of training; damaged lines are left out, and it says so."""
    if damaged := records.count_damaged(path):
        print(f"{path}: {damaged} damaged or cut-off {'line is' if damaged == 1 else 'lines are'} left out")
    return records.read(path)


def _compared(folder: str, other: Disentangler, model: Disentangler) -> Compared:
    """Where a further model lies, and in which fields its training differed."""
    changed = config_record.differences(other.config, model.config)
    sections = _TRAINED_BY
    if np.array_equal(other.directions.vectors, model.directions.vectors):  # such as those that were read from a file
        sections = tuple(section for section in sections if section != "directions.")
    return Compared(folder, {name: values for name, values in changed.items() if name.startswith(sections)})


def _commands(workdir: AnyPath, compare: Mapping[str, str], overrides: Mapping[str, Any]) -> list[str]:
    """Command lines that work from any folder."""
    workdir = files.as_path(files.absolute(workdir))
    picture = workdir / "transfer.gif" if isinstance(workdir, Path) else "transfer.gif"
    again = workdir.with_name(f"{workdir.name}_again")
    arguments = {
        "train": [f"--config={workdir / 'config.json'}", f"--workdir={again}"],
        "evaluate": [
            f"--workdir={workdir}",
            *(f"--compare={name}={files.absolute(folder)}" for name, folder in compare.items()),
            *(f"--config.{name}={value}" for name, value in overrides.items()),
        ],
        "transfer": [f"--model={workdir}", "--source=seed:1", "--driving=clip:2", f"--out={picture}"],
    }
    return [shlex.join(["python", "-m", f"disentangle_jax.{name}", *given]) for name, given in arguments.items()]


def _named_workdirs(texts: list[str]) -> dict[str, str]:
    """What --compare gives, by name."""
    workdirs: dict[str, str] = {}
    for text in texts:
        name, sign, folder = text.partition("=")
        taken = (*METHODS, *RESERVED, *workdirs)
        if not (name and sign and folder) or name in taken:
            raise ValueError(f"--compare wants NAME=WORKDIR, the name none of {', '.join(taken)}; got {text!r}")
        workdirs[name] = folder
    return workdirs


if __name__ == "__main__":
    command.run(main, FLAGS)
