"""The report of an evaluation: one page of HTML that needs no other file, and a summary for a terminal."""

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import Float

from disentangle_jax import media
from disentangle_jax.evaluation.comparisons import Changed
from disentangle_jax.evaluation.given_clips import FOOTAGE, INVERTED, LATENT_JITTER
from disentangle_jax.evaluation.reenactment import CROSS, PIXELS, SELF
from disentangle_jax.evaluation.suite import COPIES, LAYER_SWAP, LINEAR, OURS, SEARCH
from disentangle_jax.report.clips import LATENT_JITTER_TITLE, Strip
from disentangle_jax.report.gallery import Gallery
from disentangle_jax.report.pictures import CELL, stills

Section = Mapping[str, Any]

_JUDGE_BOUND = 0.8  # R^2 on exact images below which a judge's reading of a factor is not relied on
_DIGITS = {"psnr": 1, "l1": 3, "ssim": 3, "perceptual": 3, "expression": 3, "pose": 3}
"""Digits of a column where they are not 2."""
_MOTION = ("structure_r2", "appearance_r2", "true_structure_r2", "true_appearance_r2", "psnr", "jitter_ratio")
_HIGHER_IS_BETTER = ("structure_r2", "appearance_r2", "mean_r2", "true_structure_r2", "true_appearance_r2", "psnr")
_TITLES = {
    "structure_r2": "structure R²",
    "appearance_r2": "appearance R²",
    "mean_r2": "mean of both",
    "true_structure_r2": "structure R², truth",
    "true_appearance_r2": "appearance R², truth",
    "psnr": "PSNR, dB",
    "jitter_ratio": "jitter ratio",
    "l1": "L1",
    "ssim": "SSIM",
    "perceptual": "perceptual distance",
    "read": "share read",
    LATENT_JITTER: LATENT_JITTER_TITLE,
}


class Compared(NamedTuple):
    """A further model in the comparison.

    Attributes:
        folder: its workdir.
        differences: fields of its config that differ: their dotted names, its value and that of the model under test.
    """

    folder: str
    differences: Changed


def render_report(
    metrics: Section,
    config: Section,
    compared: Mapping[str, Compared],
    commands: Sequence[str],
    gallery: Gallery,
    folder: Path,
    strips: Sequence[Strip] = (),
) -> str:
    """Render the page.

    Args:
        metrics: what `suite.measure` returned; and what `measure_clips` did, as "clips", if the user gave any.
        config: the experiment, as plain data.
        compared: the further models, by name.
        commands: the command lines that repeat this run.
        gallery: the images to show.
        folder: where the plots and motion.gif lie; a plot that is missing is left out.
        strips: of the user's clips, where `metrics` has such.
    """
    transfer, motion, clips = metrics.get("transfer"), metrics["motion"]["methods"], metrics.get("clips")
    return environment().get_template("report.html.jinja").render(
        metrics=metrics,
        config=config,
        compared=compared,
        commands=commands,
        gallery=gallery,
        stills=stills(gallery),
        motion=_data_uri(folder / "motion.gif"),
        plots={name: plot for name in ("trade_off", "training") if (plot := _plot(folder, name))},
        factors=_factors(transfer["exact"]) if transfer else {},
        unreliable=_unreliable(transfer["exact"]) if transfer else [],
        judge_bound=_JUDGE_BOUND,
        best={"motion": _best(motion), "transfer": _best(transfer["methods"]) if transfer else {}},
        motion_columns=[column for column in _MOTION if column in motion[OURS]],
        titles=_TITLES | {name: name for name in metrics["reenactment"]["proxies"]},
        best_reenacted=_best_driven(metrics["reenactment"], metrics["reenactment"]["proxies"]),
        best_clips=_best_driven(clips["self"] | {CROSS: clips.get(CROSS, {})}, clips["proxies"]) if clips else {},
        strips=strips,
        kinds={OURS: "ours", **dict.fromkeys(COPIES, "aside")},
        digits=_DIGITS,
        ours=OURS,
        linear=LINEAR,
        search=SEARCH,
        layer_swap=LAYER_SWAP,
        copies=COPIES,
    )  # fmt: skip


def summary(metrics: Section) -> str:
    """The scores of transfer as a small table for a terminal."""
    if "transfer" not in metrics:
        jitter = metrics["motion"]["methods"][OURS]["jitter_ratio"]
        return (
            f"jitter ratio {jitter:.2f} (1 is as smooth as the driving clips); the true factors of this generator's "
            "images are not known, so transfer has no scores"
        )
    methods = metrics["transfer"]["methods"]
    width = max(28, *map(len, methods))
    lines = [f"{'R² of structure / appearance':{width}}  by the judge  by the truth  PSNR"]
    for name, scores in methods.items():
        by_judge, by_truth = (
            f"{scores[f'{kind}structure_r2']:5.2f} / {scores[f'{kind}appearance_r2']:5.2f}" for kind in ("", "true_")
        )
        lines.append(f"{name:{width}}  {by_judge}  {by_truth}  {scores['psnr']:4.1f}")
    return "\n".join(lines)


@cache
def environment(escape: bool = True) -> jinja2.Environment:
    """The templates and their filters. escape: for HTML, unlike for plain text."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("disentangle_jax.report"),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": _number, "png": _png_uri, "pretty": _pretty}
    return templates


def _number(value: float, digits: int = 2) -> str:
    """A rounded number with a true minus sign, and none before zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _pretty(value: Section) -> str:
    return json.dumps(value, indent=2)


def _png_uri(image: Float[np.ndarray, "h w 3"]) -> str:
    """An image inside the page, no larger than it is shown."""
    content = media.png_bytes(media.resize(image, min(image.shape[0], CELL)))
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _data_uri(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:image/{path.suffix[1:]};base64,{content}"


def _plot(folder: Path, name: str) -> dict[str, str]:
    """A plot for a light and for a dark page; nothing if it was not drawn."""
    files = {"light": folder / f"{name}.png", "dark": folder / f"{name}_dark.png"}
    return {scheme: _data_uri(path) for scheme, path in files.items() if path.is_file()}


def _factors(scores: Section) -> dict[str, list[str]]:
    """The names of both kinds of factors, as words."""
    return {
        kind: [name.replace("_", " ") for name in scores[f"{kind}_r2_per_factor"]]
        for kind in ("appearance", "structure")
    }


def _unreliable(exact: Section) -> list[str]:
    """Factors that the judge does not read well enough, even of exact images."""
    read = exact["structure_r2_per_factor"] | exact["appearance_r2_per_factor"]
    return [name for name, value in read.items() if value < _JUDGE_BOUND]


def _best_driven(tables: Section, proxies: Section) -> dict[str, dict[str, float]]:
    """The best score of each column of tables of driven clips, copies aside."""
    higher = PIXELS | {name: proxy["higher_is_better"] for name, proxy in proxies.items()}
    best: dict[str, dict[str, float]] = {}
    for title in (SELF, CROSS, FOOTAGE, INVERTED):
        contenders = [scores for name, scores in tables.get(title, {}).items() if name not in COPIES]
        columns = {column: [scores.get(column) for scores in contenders] for column in higher}
        known = {column: [x for x in values if x is not None] for column, values in columns.items()}
        best[title] = {column: (max if higher[column] else min)(x) for column, x in known.items() if x}
    return best


def _best(methods: Section) -> dict[str, float]:
    """The highest score of each column, copies aside."""
    contenders = [scores for name, scores in methods.items() if name not in COPIES]
    return {
        column: max(scores[column] for scores in contenders)
        for column in _HIGHER_IS_BETTER
        if all(column in scores for scores in contenders)
    }
