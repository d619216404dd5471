"""Judge a trained model: python -m disentangle_jax.evaluate --workdir=runs/faces64

Writes report.html into the workdir, and its pictures and metrics.json into eval/ there. Further models are put through
the same with --compare "autoencoder without contrast=runs/no_contrast", as often as there are any.
"""

import json
import time
from pathlib import Path

from absl import flags

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import load_judged_domain
from disentangle_jax.evaluation.held_out import held_out
from disentangle_jax.evaluation.motion import make_animator
from disentangle_jax.evaluation.suite import METHODS, measure
from disentangle_jax.generators import digest
from disentangle_jax.report.gallery import draw
from disentangle_jax.report.report import summary, write_report
from stylegan2_flax import command, files
from stylegan2_flax.run import metrics as records

FLAGS = flags.FlagValues()
WORKDIR = flags.DEFINE_string("workdir", None, "the training workdir to judge", required=True, flag_values=FLAGS)
COMPARE = flags.DEFINE_multi_string(
    "compare", [], "NAME=WORKDIR of a model to compare with; may be repeated", flag_values=FLAGS
)


def main() -> None:
    evaluate(files.local_path(WORKDIR.value, "--workdir"), dict(map(_named_workdir, COMPARE.value)))


def evaluate(workdir: Path, compare: dict[str, str]) -> None:
    """Measure, draw, and write the report."""
    model = Disentangler.load(workdir)
    config, folder = model.config, workdir / "eval"
    others = {name: Disentangler.load(other) for name, other in compare.items()}
    for name, other in others.items():
        if digest(other.generator) != digest(model.generator):
            raise ValueError(f"{name!r} splits latents of {other.config.generator}, not of {config.generator}")
    domain = load_judged_domain(config.generator, config.evaluation.judge, model.generator.img_resolution)
    started = time.monotonic()

    def announce(stage: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {stage}", flush=True)

    announce("held-out faces and clips")
    animator = make_animator(domain and domain.domain, model.directions, config.evaluation.motion)
    data = held_out(model, animator, domain and domain.domain)
    metrics, methods = measure(model, domain, others, data, announce)
    announce("pictures")
    draw(model, data, methods, domain, metrics, records.read(workdir / "metrics.jsonl"), folder)
    files.write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    comparisons = "".join(f' --compare "{name}={other}"' for name, other in compare.items())
    commands = [
        f"python -m disentangle_jax.train --config=CONFIG.py --workdir={workdir}    # CONFIG: what stands below",
        f"python -m disentangle_jax.evaluate --workdir={workdir}{comparisons}",
        f"python -m disentangle_jax.transfer --workdir={workdir} --source=seed:1 --driving=clip:2 --out=transfer.gif",
    ]
    page = write_report(metrics, json.loads(config.to_json()), commands, folder)
    files.write_text(workdir / "report.html", page)
    print(summary(metrics))
    print(f"Open {workdir / 'report.html'}")


def _named_workdir(text: str) -> tuple[str, str]:
    name, sign, folder = text.partition("=")
    if not (name and sign and folder) or name in METHODS:
        raise ValueError(f"--compare wants NAME=WORKDIR, the name none of {', '.join(METHODS)}; got {text!r}")
    return name, folder


if __name__ == "__main__":
    command.run(main, FLAGS)
