"""Plots of a run: the losses of training, and how each method trades structure against appearance.

Each is written twice, for a light and for a dark page: NAME.png and NAME_dark.png.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from disentangle_jax.evaluation.suite import COPIES, LAYER_SWAP, OURS
from stylegan2_flax import files

_PANELS = 4  # of the training curves, in a row
_MARKERS = "sD^vPXph<>"
_NEAR = 0.06  # of the width of the axes: points closer than this to ours are shown enlarged


class _Scheme(NamedTuple):
    """The colours of a plot."""

    suffix: str
    ground: str
    ink: str
    faint: str  # of grid lines
    curve: str
    ours: str
    others: tuple[str, ...]


_SCHEMES = (
    _Scheme(
        suffix="",
        ground="#ffffff",
        ink="#46464e",
        faint="#e6e6ea",
        curve="#9a9aa4",
        ours="#c2410c",
        others=("#1d4f91", "#0f766e", "#7e22ce", "#a16207", "#be185d"),
    ),
    _Scheme(
        suffix="_dark",
        ground="#212127",
        ink="#c9c9d2",
        faint="#34343d",
        curve="#85858f",
        ours="#fb923c",
        others=("#7fb2ff", "#5eead4", "#d8b4fe", "#facc15", "#f9a8d4"),
    ),
)


class _Point(NamedTuple):
    """A method in the plane of the trade-off."""

    name: str
    x: float
    y: float
    x_std: float
    y_std: float
    color: str
    marker: str


def draw(
    metrics: Mapping[str, Any],
    losses: Sequence[Mapping[str, float | int]],
    floors: Mapping[str, float],
    folder: Path,
) -> None:
    """Write all plots that there are numbers for; `floors` are the least values of losses, which count from there."""
    if "transfer" in metrics:
        trade_off(metrics["transfer"], folder)
    if losses:
        training_curves(losses, floors, folder)


def training_curves(lines: Sequence[Mapping[str, float | int]], floors: Mapping[str, float], folder: Path) -> None:
    """Plot every number of `metrics.jsonl` over the steps, one panel each, above its floor: training.png."""

    def plot(scheme: _Scheme) -> Figure:
        names = list(dict.fromkeys(name for line in lines for name in line if name != "step"))
        figure = Figure(figsize=(11, 2.4 * -(-len(names) // _PANELS)), layout="constrained")
        for index, name in enumerate(names):
            axes = figure.add_subplot(-(-len(names) // _PANELS), _PANELS, index + 1)
            floor = floors.get(name, 0.0)
            steps, values = zip(*[(line["step"], line[name] - floor) for line in lines if name in line], strict=True)
            axes.plot(steps, values, color=scheme.ours if name == "loss" else scheme.others[0], linewidth=1.4)
            axes.set_title(name.replace("_", " ") + (f" - {floor:.2f}" if floor else ""), loc="left")
            axes.set_xlabel("step")
            axes.set_ylim(bottom=min(0.0, *values) if np.isfinite(values).all() else None)
            axes.locator_params(nbins=4)
        return figure

    _save(plot, folder / "training.png")


def trade_off(transfer: Mapping[str, Any], folder: Path) -> None:
    """Plot structure R^2 against appearance R^2: trade_off.png.

    The upper panel shows every layer split along a curve and every method as a point. Where methods lie close to ours,
    a lower panel enlarges that corner.
    """

    def plot(scheme: _Scheme) -> Figure:
        points = _points(transfer, scheme)
        near, far = _split_by_distance(points, transfer["splits"])
        figure = Figure(figsize=(5.0, 7.0 if near else 3.8), layout="constrained")
        panels = figure.subplots(2 if near else 1, 1, squeeze=False)[:, 0]
        overview = panels[0]
        _plot_splits(overview, transfer["splits"], scheme)
        _scatter(overview, points, small=bool(near))
        overview.margins(0.08)
        if near:
            _scatter(panels[1], near, small=False)
            panels[1].margins(0.18)
            panels[1].locator_params(nbins=5)
            panels[1].set_title("what is circled, enlarged", loc="left")
            _circle(overview, near, scheme)
        figure.draw_without_rendering()  # settles the limits of the axes, which decide how high a label stands
        for axes, labelled in zip(panels, (far, near), strict=False):
            _label(axes, labelled, scheme)
        figure.draw_without_rendering()  # settles the width of the axes, which decides what overlaps
        _label_splits(overview, transfer["splits"], scheme, figure.dpi)
        figure.supxlabel("appearance R² (kept from the source)", fontsize=10.5, color=scheme.ink)
        figure.supylabel("structure R² (taken over from the driving)", fontsize=10.5, color=scheme.ink)
        return figure

    _save(plot, folder / "trade_off.png")


def _points(transfer: Mapping[str, Any], scheme: _Scheme) -> list[_Point]:
    """All methods but those that the curve of layer splits shows, and the exact images."""
    scores = {name: score for name, score in transfer["methods"].items() if name not in (*COPIES, LAYER_SWAP, OURS)}
    colors = scheme.others * (1 + len(scores))
    styles = {name: (color, marker) for name, color, marker in zip(scores, colors, _MARKERS * 9, strict=False)}
    scores |= {"exact images": transfer["exact"], OURS: transfer["methods"][OURS]}
    styles |= {"exact images": (scheme.ink, "x"), OURS: (scheme.ours, "*")}
    return [
        _Point(
            name,
            score["appearance_r2"],
            score["structure_r2"],
            score["appearance_r2_std"],
            score["structure_r2_std"],
            *styles[name],
        )
        for name, score in scores.items()
    ]


def _split_by_distance(points: list[_Point], splits: Mapping[str, Any]) -> tuple[list[_Point], list[_Point]]:
    """The points that need to be enlarged, ours among them, and the others. If none is close to ours, none needs it."""
    xs = [*(p.x for p in points), *(s["appearance_r2"] for s in splits.values())]
    ys = [*(p.y for p in points), *(s["structure_r2"] for s in splits.values())]
    ours = next(point for point in points if point.name == OURS)

    def is_near(point: _Point) -> bool:
        return bool(max(abs(point.x - ours.x) / np.ptp(xs), abs(point.y - ours.y) / np.ptp(ys)) < _NEAR)

    near = [point for point in points if is_near(point)]
    if len(near) == 1:
        return [], points
    return near, [point for point in points if not is_near(point)]


def _scatter(axes: Axes, points: list[_Point], small: bool) -> None:
    for point in points:
        area = (60 if point.name == OURS else 18) if small else (220 if point.name == OURS else 60)
        axes.errorbar(point.x, point.y, xerr=point.x_std, yerr=point.y_std, fmt="none", color=point.color, alpha=0.45)
        axes.scatter(point.x, point.y, s=area, color=point.color, marker=point.marker, zorder=3)


def _plot_splits(axes: Axes, splits: Mapping[str, Mapping[str, float]], scheme: _Scheme) -> None:
    x, y = _curve(splits)
    axes.plot(x, y, "o-", color=scheme.curve, markersize=4, linewidth=1.4)


def _curve(splits: Mapping[str, Mapping[str, float]]) -> tuple[list[float], list[float]]:
    ordered = sorted(splits, key=int)
    return [splits[split]["appearance_r2"] for split in ordered], [splits[split]["structure_r2"] for split in ordered]


def _label_splits(axes: Axes, splits: Mapping[str, Mapping[str, float]], scheme: _Scheme, dpi: float) -> None:
    """Number the splits below the curve; neighbours whose numbers would overlap share a label, such as "8-10"."""
    points = np.stack(_curve(splits), axis=1)
    places = axes.transData.transform(points)
    close = 16.0 * dpi / 72.0  # pixels in 16 points
    groups = [[0]]
    for index in range(1, len(points)):
        if np.linalg.norm(places[index] - places[groups[-1][0]]) < close:
            groups[-1].append(index)
        else:
            groups.append([index])
    for group in groups:
        place = points[group].mean(axis=0)
        left = axes.transAxes.inverted().transform(axes.transData.transform(place))[0] < 0.3
        style: dict[str, Any] = {"xytext": (-4, -5), "ha": "left"} if left else {"xytext": (-5, -3), "ha": "right"}
        text = str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}"
        axes.annotate(text, place, textcoords="offset points", va="top", fontsize=9, color=scheme.ink, **style)


def _label(axes: Axes, points: list[_Point], scheme: _Scheme) -> None:
    """Name the points at the right edge of the axes, each with a line to its point; if few, with their coordinates."""
    ordered = sorted(points, key=lambda point: point.y)
    few = len(points) <= 7
    coordinates = np.array([(point.x, point.y) for point in ordered]).reshape(-1, 2)
    places = axes.transAxes.inverted().transform(axes.transData.transform(coordinates))
    heights = _spread([y for _, y in places], gap=0.13 if few else 0.07)
    for point, height in zip(ordered, heights, strict=True):
        axes.annotate(
            f"{point.name}\n{point.x:.2f} / {point.y:.2f}" if few else point.name,
            (point.x, point.y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9.5,
            color=point.color,
            arrowprops={"arrowstyle": "-", "color": point.color, "linewidth": 0.8, "alpha": 0.7, "shrinkB": 4},
            annotation_clip=False,
        )


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in ascending order, moved so that they are at least `gap` apart and, if they fit, within 0 to 1."""
    spread: list[float] = []
    for height in heights:
        spread.append(max(height, spread[-1] + gap) if spread else max(height, 0.0))
    for index in range(len(spread) - 1, -1, -1):
        highest = 1.0 if index == len(spread) - 1 else spread[index + 1] - gap
        spread[index] = min(spread[index], highest)
    return spread


def _circle(axes: Axes, points: list[_Point], scheme: _Scheme) -> None:
    """Circle the points that another panel enlarges."""
    x, y = np.mean([point.x for point in points]), np.mean([point.y for point in points])
    axes.scatter(x, y, s=700, facecolor="none", edgecolor=scheme.ink, linestyle=":", linewidth=1.2, zorder=4)


def _save(draw: Callable[[_Scheme], Figure], path: Path) -> None:
    """Write the plot in all schemes."""
    for scheme in _SCHEMES:
        style: dict[Any, Any] = {
            "font.size": 10.5,
            "axes.titlesize": 10.5,
            "axes.titlecolor": scheme.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": scheme.curve,
            "axes.facecolor": scheme.ground,
            "axes.labelcolor": scheme.ink,
            "xtick.color": scheme.ink,
            "ytick.color": scheme.ink,
            "axes.grid": True,
            "grid.color": scheme.faint,
            "axes.axisbelow": True,
        }
        with matplotlib.rc_context(style), files.atomic(path.with_stem(path.stem + scheme.suffix)) as temporary:
            draw(scheme).savefig(temporary, dpi=160, facecolor=scheme.ground)
