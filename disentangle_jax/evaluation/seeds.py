"""One experiment with several seeds: means and standard deviations over the models that it gave."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_PROBES = "ridge", "mlp"

HEADLINES = {
    "structure R²": "transfer/structure_r2",
    "appearance R²": "transfer/appearance_r2",
    "structure R², truth": "transfer/true_structure_r2",
    "appearance R², truth": "transfer/true_appearance_r2",
    "PSNR, dB": "transfer/psnr",
    **{
        f"{told} in the {code} code, {kind}{where}": f"probes/{section}/{kind}/{code} code/{told}/r2"
        for section, where in (("r2", ""), ("mixed_r2", ", mixed subjects"))
        for kind in _PROBES
        for code, told in (("appearance", "structure"), ("structure", "appearance"))
    },
    "same motion, R@1": "retrieval/same_motion/structure code/recall",
    "same face, R@1": "retrieval/same_face/appearance code/recall",
    "latents rebuilt, R²": "reconstruction/latent_r2",
}
"""What is compared over seeds, and where `suite.measure_alone` has it."""


def over_seeds(measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of every headline that was measured.

    Args:
        measured: what `suite.measure_alone` found of each model; two at least.

    Returns:
        The number of models, and for each headline its "mean", its "std" and the "values" of all models.
    """
    rows = {}
    for title, place in HEADLINES.items():
        values = [value for metrics in measured if (value := metric_at(metrics, place)) is not None]
        if len(values) == len(measured):
            rows[title] = {"mean": statistics.fmean(values), "std": statistics.stdev(values), "values": values}
    return {"num": len(measured), "headlines": rows}


def metric_at(metrics: Mapping[str, Any], place: str) -> float | None:
    """The number at a path such as "transfer/psnr"; None if it was not measured."""
    node: Any = metrics
    for key in place.split("/"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
