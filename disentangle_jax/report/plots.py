"""Charts of a run: how the losses fell, and how each method trades structure against appearance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from disentangle_jax.evaluation.suite import COPIES, LAYER_SWAP, OURS
from stylegan2_flax import files

_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8a94",
    "axes.labelcolor": "#46464e",
    "xtick.color": "#6a6a74",
    "ytick.color": "#6a6a74",
    "axes.grid": True,
    "grid.color": "#e8e8ec",
    "axes.axisbelow": True,
}
_OURS, _OTHER, _CURVE = "#c2410c", "#3b5b92", "#a1a1ab"
_MARKERS = "sD^vP"
_PANELS = 4  # a row


def training_curves(lines: Sequence[Mapping[str, float | int]], path: Path) -> None:
    """Draw every number of `metrics.jsonl` over the steps, one panel each."""
    names = [name for name in lines[-1] if name != "step"]
    num_rows = -(-len(names) // _PANELS)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11, 2.4 * num_rows), layout="constrained")
        for index, name in enumerate(names):
            axes = figure.add_subplot(num_rows, _PANELS, index + 1)
            steps, values = zip(*[(line["step"], line[name]) for line in lines if name in line], strict=True)
            axes.plot(steps, values, color=_OURS if name == "loss" else _OTHER, linewidth=1.4)
            axes.set_title(name.replace("_", " "), loc="left", color="#46464e")
            axes.set_xlabel("step")
            axes.set_ylim(bottom=min(0.0, *values))
            axes.locator_params(nbins=4)
        _save(figure, path)


def trade_off(transfer: Mapping[str, Any], path: Path) -> None:
    """Draw structure R^2 against appearance R^2: every layer split along a curve, every method as a point."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        axes = figure.subplots()
        _splits(axes, transfer["splits"])
        methods = {n: m for n, m in transfer["methods"].items() if n not in (*COPIES, LAYER_SWAP)}
        for (name, marks), marker in zip(methods.items(), _MARKERS * len(methods), strict=False):
            style = (
                {"marker": "*", "s": 260, "color": _OURS}
                if name == OURS
                else {"marker": marker, "s": 55, "color": _OTHER}
            )
            _point(axes, marks, label=name, edgecolor="white", **style)
        _point(axes, transfer["exact"], label="exact pictures, as judged", marker="x", s=45, color="#222226")
        axes.margins(0.08)
        axes.set(xlabel="appearance of the source kept, R² →", ylabel="structure of the driving taken over, R² →")
        axes.legend(frameon=False, loc="lower left")
        _save(figure, path)


def _splits(axes: Axes, splits: Mapping[str, Mapping[str, float]]) -> None:
    points = sorted((int(split), marks["appearance_r2"], marks["structure_r2"]) for split, marks in splits.items())
    numbers, x, y = zip(*points, strict=True)
    axes.plot(x, y, "o-", color=_CURVE, markersize=4.5, linewidth=1.4, label="layer swap, at every split")
    for number, x, y in points:
        name = {0: "copy source", numbers[-1]: "copy driving"}.get(number)
        shift = (7, 4) if name is None else (-5, -14)
        text = axes.annotate(name or str(number), (x, y), xytext=shift, textcoords="offset points", color="#6a6a74")
        text.set(fontsize=9, ha="right" if number == 0 else "left")


def _point(axes: Axes, marks: Mapping[str, float], **style: Any) -> None:
    x, y = marks["appearance_r2"], marks["structure_r2"]
    spread = (marks["appearance_r2_std"], marks["structure_r2_std"])
    axes.errorbar(x, y, xerr=spread[0], yerr=spread[1], fmt="none", color=style["color"], alpha=0.5)
    axes.scatter(x, y, zorder=3, **style)


def _save(figure: Figure, path: Path) -> None:
    with files.atomic(path) as temporary:
        figure.savefig(temporary, dpi=150, facecolor="white")
