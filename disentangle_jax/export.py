"""Export a trained model: python -m disentangle_jax.export --model=runs/faces64 --out=exported/faces64

The folder holds the weights as safetensors files, the config, a card (README.md) with the numbers and pictures that
`evaluate` left in the workdir, and digests of all files. `Disentangler.load` takes it, as does --model= of the other
commands, from a disk or, once it is uploaded, from its URL. For the Hugging Face hub: hf upload OWNER/NAME FOLDER
"""

import json
import warnings
from typing import Any

from absl import flags

from disentangle_jax import model_sources
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.report.card import render_card
from stylegan2_flax import command, files
from stylegan2_flax.files import AnyPath

FLAGS = flags.FlagValues()
MODEL = model_sources.define_flag(FLAGS)
flags.DEFINE_alias("workdir", "model", flag_values=FLAGS)
OUT = flags.DEFINE_string(
    "out", None, "the folder to write, which must be new or empty", required=True, flag_values=FLAGS
)
LICENSE = flags.DEFINE_string(
    "license",
    "",
    "identifier of the licence for the card, such as apache-2.0; by default it names none",
    flag_values=FLAGS,
)

PICTURES = {"transfer_grid": "transfer_grid.png", "motion": "motion.gif"}
"""The pictures of an evaluation that go into the card."""


def main() -> None:
    out = files.storage_path(OUT.value, "--out")
    export(MODEL.value, out, LICENSE.value)
    print(f"Wrote {out}. Try it: disentangle_jax.Disentangler.load({str(out)!r})")


def export(source: str, out: AnyPath, license: str = "") -> None:
    """Write a model, its card and the digests of all files into a folder, whole or not at all.

    Args:
        source: what `Disentangler.load` takes.
        out: the folder; it must not exist or be empty.
        license: the licence's identifier for the card; "" names none.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the folder is not empty, the model or its metrics cannot be read, or the metrics are of an earlier
            step.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ValueError(f"{out} exists and is not empty: give another --out, or delete it")
    files.check_folder(out.parent, out)
    found = model_sources.find(source, also=("metrics.json", *PICTURES.values()))
    model = Disentangler.load(found)
    evaluation = found / "eval" if (found / "eval").is_dir() else found  # the latter in an exported folder
    metrics = _read_metrics(evaluation / "metrics.json")
    _check_steps(model, metrics, evaluation)
    with files.atomic_folder(out) as folder:
        model.export(folder)
        shown = {name: file for name, file in PICTURES.items() if metrics and (evaluation / file).is_file()}
        for file in shown.values():
            (folder / file).write_bytes((evaluation / file).read_bytes())
        if metrics and "clips" not in metrics:
            (folder / "metrics.json").write_bytes((evaluation / "metrics.json").read_bytes())
        elif metrics:  # clips of the user's go by their names, and by the folders of those that share one
            told = {section: values for section, values in metrics.items() if section != "clips"}
            files.write_text(folder / "metrics.json", json.dumps(told, indent=2) + "\n")
        exported = Disentangler.load(folder)  # its config tells of no paths, and neither does the card
        files.write_text(folder / "README.md", render_card(exported, model.steps, metrics, shown, license))
        model_sources.write_digests(folder)


def _check_steps(model: Disentangler, metrics: dict[str, Any] | None, evaluation: AnyPath) -> None:
    """Raise ValueError if the metrics are not of the model's step; warn if its training has not ended."""
    evaluated = (metrics or {}).get("steps")
    if evaluated is not None and model.steps not in (None, evaluated):
        raise ValueError(
            f"{evaluation} is of step {evaluated}, and the model of step {model.steps}: evaluate it again, or delete "
            "that folder to export without numbers"
        )
    if model.steps is not None and model.steps < (planned := model.config.train.num_steps):
        warnings.warn(f"the training has made {model.steps} of its {planned} steps", stacklevel=3)


def _read_metrics(path: AnyPath) -> dict[str, Any] | None:
    """What `evaluate` wrote; None if the model was not evaluated."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): evaluate the model again, or delete the file") from None


if __name__ == "__main__":
    command.run(main, FLAGS)
