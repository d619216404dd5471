"""Evaluate a trained model: python -m disentangle_jax.evaluate --model=runs/faces64

Writes report.html into the workdir, and metrics.json and pictures into eval/ there. For a model that is no workdir of
yours, say where: --model=faces64 --out=runs/bundled. --compare NAME=WORKDIR evaluates
another model beside it; --seed_run=WORKDIR adds one of the same experiment with another seed, for means and standard
deviations over seeds. Both may be repeated. --config.evaluation.num_pairs=64 sets a field of the config's section
`evaluation`, for this evaluation alone.

--clip=video.mp4 --clip=frames:FOLDER measures on clips of yours, too, which are inverted first: what the inversion
costs, each clip driven by itself against its footage and its inverted frames, and its first frame by every other clip.

Where the true factors are not known, identity, expression and pose are read in the pictures, if the extra `portraits`
is installed and faces are there. --arcface=model_ir_se50.pth gives identity as CSIM.
"""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from disentangle_jax import media, model_sources, scorers
from disentangle_jax.batching import in_batches
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain, load_judged_domain
from disentangle_jax.evaluation import comparisons
from disentangle_jax.evaluation.face_reader import IDENTITY, FaceReader, load_face_reader
from disentangle_jax.evaluation.given_clips import measure_clips
from disentangle_jax.evaluation.held_out import HeldOut, held_out
from disentangle_jax.evaluation.motion import make_animator
from disentangle_jax.evaluation.proxies import Instruments
from disentangle_jax.evaluation.suite import METHODS, OURS, measure
from disentangle_jax.inversion.distances import absolute_distance, load_distance
from disentangle_jax.inversion.portraits import DLIB
from disentangle_jax.inversion.portraits.dlib_faces import is_installed
from disentangle_jax.model import contrast_forms
from disentangle_jax.reenactment import clip_flags
from disentangle_jax.reenactment.clip_flags import NO_CLIPS, ClipOptions
from disentangle_jax.reenactment.clips import invert_clips, open_clips
from disentangle_jax.report import plots
from disentangle_jax.report.clips import clips_summary, make_strips, strips_picture
from disentangle_jax.report.commands import command_lines
from disentangle_jax.report.gallery import RESERVED, make_gallery
from disentangle_jax.report.pictures import save_pictures
from disentangle_jax.report.report import Compared, render_report, summary
from disentangle_jax.training import rules
from stylegan2_flax import command, files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import config_flag, metrics_log

FLAGS = flags.FlagValues()
MODEL = model_sources.define_flag(FLAGS)
flags.DEFINE_alias("workdir", "model", flag_values=FLAGS)
OUT = flags.DEFINE_string("out", None, "folder to write into (if not said: the model's own)", flag_values=FLAGS)
COMPARE = flags.DEFINE_multi_string(
    "compare", [], "NAME=WORKDIR of a model to compare with; may be repeated", flag_values=FLAGS
)
ARCFACE = flags.DEFINE_string(
    "arcface", None, "weights of ArcFace, for identity as CSIM (if not said: dlib's embedding)", flag_values=FLAGS
)
FACE_FINDER = flags.DEFINE_string(
    "face_finder",
    None,
    "what finds the 68 landmarks of faces: dlib (if not said, where it is installed), package.module:factory, or none, "
    "which reads no face",
    flag_values=FLAGS,
)
DISTANCE = flags.DEFINE_string(
    "distance",
    "none",
    "a perceptual distance for self-driven clips: lpips:PATH of the weights, a scorer, or package.module:factory",
    flag_values=FLAGS,
)
FACE_CLIPS = flags.DEFINE_integer(
    "face_clips", 8, "how many clips faces are read in; a frame takes 0.1 s", lower_bound=1, flag_values=FLAGS
)
SEED_RUN = flags.DEFINE_multi_string(
    "seed_run", [], "workdir of the same experiment with another seed; may be repeated", flag_values=FLAGS
)
clip_flags.define(FLAGS)
config_flag.define_overrides(FLAGS, "model", model_sources.find)


class PictureOptions(NamedTuple):
    """What driven clips are looked at with; the values of flags of these names."""

    face_finder: str | None
    arcface: str | None
    face_clips: int
    distance: str

    @property
    def finder(self) -> str:
        """What finds faces, where some are looked for."""
        return DLIB if self.face_finder in (None, "none") else self.face_finder

    def arguments(self) -> list[str]:
        """The flags that say something, as they are written, with paths that hold in any folder."""
        arcface = self.arcface and files.absolute(self.arcface)
        said = self._replace(arcface=arcface, distance=absolute_distance(self.distance))._asdict()
        return [f"--{name}={value}" for name, value in said.items() if value != FLAGS[name].default]


def main() -> None:
    if OUT.value is None and not model_sources.is_own_folder(MODEL.value):
        raise ValueError(f"{MODEL.value} is no folder of yours: say where to write the report, with --out=FOLDER")
    folder, flag = (MODEL.value, "--model") if OUT.value is None else (OUT.value, "--out")
    out = files.storage_path(folder, flag)
    pictures = PictureOptions(FACE_FINDER.value, ARCFACE.value, FACE_CLIPS.value, DISTANCE.value)
    compare, overrides = _named_workdirs(COMPARE.value), config_flag.overrides(FLAGS)
    evaluate(MODEL.value, out, compare, overrides, pictures, SEED_RUN.value, clip_flags.options(FLAGS))


def evaluate(
    name_or_folder: str,
    out: AnyPath,
    compare: Mapping[str, str],
    overrides: Mapping[str, Any],
    pictures: PictureOptions,
    seed_runs: Sequence[str] = (),
    clips: ClipOptions = NO_CLIPS,
) -> None:
    """Measure, write the metrics, draw, and write the report.

    Args:
        name_or_folder: the model; see `Disentangler.load`.
        out: the folder of the report.
        compare: the workdirs of further models, by name.
        overrides: fields of the config's section `evaluation` to set, by dotted name.
        pictures: what driven clips are looked at with.
        seed_runs: the workdirs of the same experiment with other seeds.
        clips: clips of the user's, to be measured on as well.

    Raises:
        ValueError: a field is invalid, a model is of another generator or another experiment than it should be, the
            judge does not read the domain, faces are to be read where the truth is known, or a clip is none.
        ImportError: dlib is asked for and not installed.
        OSError: a folder is not a workdir, nothing can be written into it, or a clip is missing.
    """
    clips.check()
    source = model_sources.find(name_or_folder)
    model = Disentangler.load(source)
    _override(model, overrides)
    others = {name: Disentangler.load(folder) for name, folder in compare.items()}
    seeds = [Disentangler.load(folder) for folder in seed_runs]
    for other in seeds:
        other.config.evaluation = model.config.evaluation  # all are measured alike, whatever their own records say
    comparisons.check_generators(model, others)
    comparisons.check_seeds(model, dict(zip(seed_runs, seeds, strict=True)))
    for name, other in [("the model", model), *((f"--compare={name}", other) for name, other in others.items())]:
        if problem := comparisons.unfinished(other):
            warnings.warn(f"{name} {problem}", stacklevel=2)
    domain = load_judged_domain(model.config.generator, model.config.evaluation.judge, model.generator.img_resolution)
    reader, distance = _face_reader(pictures, model, domain), load_distance(pictures.distance)
    folder = out / "eval"
    for path in (folder / "metrics.json", folder / "motion.gif", out / "report.html"):
        media.check_output(path, (path.suffix,))
    opened = open_clips(model, clips, pictures.finder)
    losses = _read_losses(source / "metrics.jsonl")
    started = time.monotonic()

    def on_stage(stage: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {stage}", flush=True)

    on_stage("held-out latents and clips")
    animator = make_animator(domain and domain.domain, model.directions, model.config.evaluation.motion)
    data = held_out(model, animator, domain and domain.domain)
    if reader and (problem := _no_faces(reader, model, data)):
        print(problem)
        reader = None
    instruments = Instruments(reader, distance, pictures.face_clips if reader else None)
    metrics, methods = measure(model, domain, others, data, on_stage, instruments, seeds)
    if model.steps is not None:
        metrics["steps"] = model.steps
    if domain is not None:
        metrics["judge"] = scorers.without_folder(model.config.evaluation.judge)
    files.write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    print(summary(metrics))
    own = invert_clips(opened, clips, on_stage)
    if own:
        batch_size = model.config.evaluation.batch_size
        metrics["clips"] = measure_clips(own, methods, instruments.of(domain, batch_size), batch_size, on_stage)
        files.write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        print(clips_summary(metrics["clips"]))
    on_stage("pictures")
    gallery = make_gallery(model, data, methods, domain)
    strips = make_strips(own, methods[OURS], metrics.get("clips", {}), model.config.evaluation.pictures.num_clips)
    config = json.loads(model.config.to_json())
    compared = {name: Compared(compare[name], comparisons.differences(other, model)) for name, other in others.items()}
    flags = [*pictures.arguments(), *clips.arguments()]
    commands = command_lines(source, model.config, out, compare, overrides, seed_runs, flags)
    for stale in (path for name in ("trade_off*.png", "training*.png", "clips.png") for path in folder.glob(name)):
        stale.unlink()  # of an earlier report, which may have had numbers that this one has not
    with files.local_folder(folder) as local:
        save_pictures(gallery, local)
        plots.draw(metrics, losses, _floors(model.config), local)
        if strips:
            media.save_image(strips_picture(strips), local / "clips.png")
        page = render_report(metrics, config, compared, commands, gallery, local, strips)
    files.write_text(out / "report.html", page)
    print(f"Open {out / 'report.html'}")


def _face_reader(pictures: PictureOptions, model: Disentangler, domain: JudgedDomain | None) -> FaceReader | None:
    """What reads faces; None, with a line that says why, where there is nothing to read or to read with."""
    if domain is not None:
        if pictures.arcface or pictures.face_finder not in (None, "none"):
            raise ValueError(
                f"the true factors of {model.config.generator} are known, and its judge reads them: --arcface and "
                "--face_finder are for other generators"
            )
        return None
    if pictures.face_finder == "none" or model.generator.img_channels != 3:
        if pictures.arcface:
            raise ValueError("--arcface reads faces, which are not looked for here: leave it out")
        return None
    if pictures.face_finder is None and not is_installed():
        print("identity, expression and pose are left out: pip install 'disentangle_jax[portraits]' to have them")
        return None
    return load_face_reader(pictures.finder, pictures.arcface)


def _no_faces(reader: FaceReader, model: Disentangler, data: HeldOut) -> str | None:
    """What to tell if too few of the generator's images show a face that can be read."""
    ws = data.motion_sources[: model.config.evaluation.batch_size]
    images = np.asarray(in_batches(model.render, model.config.evaluation.batch_size, ws))
    found = int(np.isfinite(reader.read(images)[IDENTITY]).all(axis=-1).sum())
    if 2 * found >= len(images):
        return None
    return f"identity, expression and pose are left out: a face is found in {found} of {len(images)} images"


def _override(model: Disentangler, overrides: Mapping[str, Any]) -> None:
    """Set fields of the model's config, which must then be valid."""
    if foreign := [name for name in overrides if not name.startswith("evaluation.")]:
        raise ValueError(
            f"{', '.join(foreign)} cannot be set here: the model is trained already, so evaluate takes "
            "--config.evaluation.FIELD=VALUE alone"
        )
    model.config.update_from_flattened_dict(dict(overrides))
    rules.check_evaluation(model.config)


def _read_losses(path: AnyPath) -> list[dict[str, int | float]]:
    """The record of training; damaged lines are left out, and it says so."""
    if damaged := metrics_log.count_damaged(path):
        print(f"{path}: {damaged} damaged or cut-off {'line is' if damaged == 1 else 'lines are'} left out")
    return metrics_log.read(path)


def _floors(config: ConfigDict) -> dict[str, float]:
    """The least values of the contrasts, whose weighted sum with the other losses' is that of the loss."""
    positives = {"appearance_contrast": config.clips.num_frames - 1, "structure_contrast": 1}
    floors = {name: contrast_forms.floor(config.loss[name].form, count) for name, count in positives.items()}
    return floors | {"loss": sum(config.loss.weights[name] * floor for name, floor in floors.items())}


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
