"""What was measured on one run, told to someone who meets it for the first time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from disentangle_jax.evaluation.suite import COPIES, LAYER_SWAP, OURS
from disentangle_jax.report.page import (
    figure,
    folded,
    number,
    page,
    paragraph,
    section,
    shaded,
    table,
    text,
    tiles,
)

Section = Mapping[str, Any]

_TITLES = {
    "structure_r2": "structure R²",
    "appearance_r2": "appearance R²",
    "mean_r2": "mean of both",
    "psnr": "PSNR, dB",
    "jitter_ratio": "jitter ratio",
}
_MORE_IS_BETTER = ("structure_r2", "appearance_r2", "mean_r2", "psnr")
_ROW_KINDS = {OURS: "main", **dict.fromkeys(COPIES, "aside")}
_SIDE = {"latent": "aside"}  # the ceiling, no contender
_FACTORS = ("appearance", "structure")
_PROBES = {"ridge": "linear", "mlp": "network"}


def write_report(metrics: Section, config: Section, commands: Sequence[str], pictures: Path) -> str:
    """The page as one string of HTML, all pictures inside.

    Args:
        metrics: what `suite.measure` gave.
        config: the experiment, as plain data.
        commands: that make this run and this page again.
        pictures: the folder they lie in; one that is not there is left out.
    """
    has_truth = "transfer" in metrics
    return page(
        f"Appearance and structure of {config['generator']}",
        [
            "<h1>One face wearing another face's expression</h1>\n",
            _introduction(config),
            _headline(metrics) if has_truth else "",
            section("Expression transfer", _grid(pictures), _methods(pictures)),
            section("How good is it?", *_transfer(metrics, pictures)) if has_truth else "",
            section("Motion transfer", *_motion(metrics["motion"], pictures)),
            section("Does one code tell about the other?", *_leakage(metrics["probes"])),
            section("Is the nearest code the right one?", _retrieval(metrics["retrieval"])),
            section("Training", _curves(pictures, metrics["reconstruction"])),
            section(
                "To have it again",
                folded("The commands", "\n".join(commands)),
                folded("The config", json.dumps(config, indent=2)),
                folded("All numbers", json.dumps(metrics, indent=2)),
            ),
        ],
    )


def summary(metrics: Section) -> str:
    """The headline figures as a small table for a terminal."""
    if "transfer" not in metrics:
        jitter = metrics["motion"]["methods"][OURS]["jitter_ratio"]
        return f"jitter ratio {jitter:.2f}; no truth is known of this generator's pictures, so transfers have no marks"
    methods = metrics["transfer"]["methods"]
    width = max(map(len, methods)) + 2
    lines = [f"{'':{width}} structure R²  appearance R²  PSNR"]
    for name, scores in methods.items():
        numbers = f"{scores['structure_r2']:12.2f}  {scores['appearance_r2']:13.2f}  {scores['psnr']:4.1f}"
        lines.append(f"{name:{width}} {numbers}")
    return "\n".join(lines)


def _introduction(config: Section) -> str:
    return paragraph(f"""
An encoder splits a latent code of a frozen StyleGAN2 into <b>appearance</b> (who it is) and <b>structure</b> (pose and
expression). A decoder makes a code of the appearance of one face, the <b>source</b>, and the structure of another, the
<b>driving</b>. The generator is {text(config["generator"])}; no face below was seen in training.""")


def _headline(metrics: Section) -> str:
    transfer = metrics["transfer"]
    ours, swap = transfer["methods"][OURS], transfer["methods"][LAYER_SWAP]
    jitter = metrics["motion"]["methods"][OURS]["jitter_ratio"]
    limit = number(transfer["generator_psnr"], 1)
    return tiles(
        [
            (
                number(ours["structure_r2"]),
                f"structure R²; 1 is perfect, swapping layers gets {number(swap['structure_r2'])}",
            ),
            (
                number(ours["appearance_r2"]),
                f"appearance R²; 1 is perfect, swapping layers gets {number(swap['appearance_r2'])}",
            ),
            (
                f"{number(ours['psnr'], 1)} dB",
                f"PSNR to the exact picture; the generator draws its own faces to {limit} dB",
            ),
            (number(jitter), "jitter of driven clips; 1 is as smooth as what drives them"),
        ]
    )


def _grid(pictures: Path) -> str:
    return figure(
        pictures / "transfer_grid.png",
        """Every face of the left column with the pose and expression of every face of the top row. In a good result
        skin, hair, clothing and background follow the row; head pose, mouth, eyes and brows follow the column. An
        exact answer, drawn from the known factors, stands beside it where the domain has one.""",
    )


def _methods(pictures: Path) -> str:
    return figure(
        pictures / "methods.png",
        """The same pairs by every method; the nearer to the exact answer, the better. A layer swap moves whole layers,
        so it leaves expression behind or drags appearance along.""",
    )


def _transfer(metrics: Section, pictures: Path) -> list[str]:
    transfer, linearity = metrics["transfer"], metrics["linearity"]
    columns = ("structure_r2", "appearance_r2", "mean_r2", "psnr")
    ceilings = [
        ("aside", ["an oracle's latents", *_cells(transfer["oracle"], columns, {})]),
        ("aside", ["the exact pictures", *_cells(transfer["exact"], columns[:-1], {}), ""]),
    ]
    marks = table(
        ("", *(_TITLES[column] for column in columns)),
        [*_rows(transfer["methods"], columns), *ceilings],
        f"""{transfer["num_pairs"]} pairs of unseen faces. A judge, trained on other pictures, reads the factors of
        each output; they are set against the true ones, of the driving for structure, of the source for appearance.
        R² = 1 &minus; squared error / variance: 1 is perfect, 0 a guess at the mean, less is worse than that guess.
        ± is the spread under another draw of the pairs. PSNR compares with the exact picture; more is better. The
        best transfer is bold. Copies only mark the two ends. A layer swap takes the coarse layers of the driving and
        the fine ones of the source; of all splits, the one after {transfer["best_split"]} layers did best on other
        pairs. A linear transfer moves the source along the structure directions to the driving's coordinates. Below
        stand the ceilings: the best latents, found by a search that knows the truth, and the exact pictures, which
        fall short only by what the judge misreads.""",
    )
    chart = figure(
        pictures / "trade_off.png",
        """Structure taken over against appearance kept: the upper right corner is perfect. The grey curve swaps
        layers, at every split; what lies above it and to its right cannot be had by choosing a split.""",
        narrow=True,
    )
    readout = paragraph(f"""
How linear is this latent space? A linear readout gets R² {number(linearity["structure_r2"])} for the structure and
{number(linearity["appearance_r2"])} for the appearance of a latent. The nearer to 1, the less a linear transfer leaves
to be gained.""")
    return [marks, chart, readout, _per_factor(transfer["methods"])]


def _per_factor(methods: Section) -> str:
    kinds = ("structure_r2_per_factor", "appearance_r2_per_factor")
    names = [name.replace("_", " ") for kind in kinds for name in methods[OURS][kind]]
    rows = [
        (_ROW_KINDS.get(name, ""), [text(name), *(shaded(value) for kind in kinds for value in scores[kind].values())])
        for name, scores in methods.items()
        if name not in COPIES
    ]
    return table(
        ("R² of each factor", *names),
        rows,
        f"""Factor by factor: the first {len(methods[OURS][kinds[0]])} are structure and should follow the driving, the
        others are appearance and should stay the source's. The greener, the better.""",
        dense=True,
    )


def _motion(motion: Section, pictures: Path) -> list[str]:
    columns = [
        name for name in ("structure_r2", "appearance_r2", "psnr", "jitter_ratio") if name in motion["methods"][OURS]
    ]
    return [
        figure(
            pictures / "motion.gif",
            """Faces driven by clips, frame by frame. In a good result the person stays and the motion is that of the
            driving clip.""",
            narrow=True,
        ),
        figure(pictures / "motion.png", "The first of these clips as stills, time to the right."),
        table(
            ("", *(_TITLES[name] for name in columns)),
            _rows(motion["methods"], columns),
            f"""{motion["num_clips"]} clips of {motion["num_frames"]} frames. The jitter ratio is the mean second
            difference over time of the result's latents, over that of the driving's: 1 is as smooth, more trembles,
            much less has lost the motion.""",
        ),
    ]


def _leakage(probes: Section) -> list[str]:
    about = f"""A probe (ridge regression, or a small network) learns to predict factors from a code and is tested on
        faces that it has not met ({probes["num_faces"]} faces, {probes["num_frames"]} poses of each). The appearance
        code should tell appearance (near 1) and no structure (near chance), the structure code the other way round; the
        latent itself holds both and is the ceiling. A probe hears whispers: what it finds in a code need not show in a
        transfer."""
    tables = [_probes(probes["r2"], about)]
    if "mixed_r2" in probes:
        mixed = """The same with faces mixed from two, each layer of which is moved by itself, by the least that gives
        the pose: latents of W+, as an inversion finds them, rather than of W."""
        tables.append(_probes(probes["mixed_r2"], mixed))
    return tables


def _probes(scores: Section, about: str) -> str:
    def cell(kind: str, code: str, target: str) -> str:
        found = scores[kind][code][target]
        return f"{number(found['r2'])} <small>chance {number(found['chance'])}</small>"

    pairs = [(target, kind) for target in _FACTORS for kind in scores]
    rows = [
        (_SIDE.get(code, ""), [code, *(cell(kind, code, target) for target, kind in pairs)])
        for code in next(iter(scores.values()))
    ]
    return table(
        ("R² of a probe on the", *(f"{target} factors, {_PROBES[kind]}" for target, kind in pairs)),
        rows,
        about,
    )


def _retrieval(retrieval: Section) -> str:
    rows = [
        (_SIDE.get(code, ""), [f"{question}, by the {code}", number(found["recall"]), number(found["chance"])])
        for question, kind in (("same face", "same_face"), ("same moment", "same_motion"))
        for code, found in retrieval[kind].items()
    ]
    return table(
        ("", "R@1", "chance"),
        rows,
        f"""Share of queries whose nearest neighbour (by cosine) is the right one; 1 is perfect. Same face: find a face
        in another pose among {retrieval["num_faces"]} faces, all others being in the query's own pose. Same moment:
        find the moment in the clip of another face that makes the same motion, among {retrieval["num_frames"]} frames
        with near neighbours.""",
    )


def _curves(pictures: Path, reconstruction: Section) -> str:
    return figure(
        pictures / "training.png",
        f"""Everything that was logged in training. The loss is the weighted sum of its parts; it should fall quickly,
        then flatten. Of the variance of unseen latents {number(100 * reconstruction["latent_r2"], 0)}% survives
        encoding and decoding.""",
    )


def _rows(methods: Section, columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """One row a method, the best of each column bold, the copies set aside."""
    contenders = [scores for name, scores in methods.items() if name not in COPIES]
    best = {column: max(scores[column] for scores in contenders) for column in columns if column in _MORE_IS_BETTER}
    return [
        (_ROW_KINDS.get(name, ""), [text(name), *_cells(scores, columns, {} if name in COPIES else best)])
        for name, scores in methods.items()
    ]


def _cells(scores: Section, columns: Sequence[str], best: Section) -> list[str]:
    def cell(column: str) -> str:
        value = number(scores[column], 1 if column == "psnr" else 2)
        value = f"<b>{value}</b>" if best.get(column) == scores[column] else value
        return f"{value} <small>± {number(scores[f'{column}_std'])}</small>" if f"{column}_std" in scores else value

    return [cell(column) for column in columns]
