"""Everything at once, on a model that transfers perfectly in a world with a truth."""

import copy
import json
import re
from pathlib import Path

import jax.numpy as jnp
import pytest
from PIL import Image

from disentangle_jax.evaluation import suite
from disentangle_jax.evaluation.held_out import held_out
from disentangle_jax.evaluation.motion import truth_animator
from disentangle_jax.report import gallery
from disentangle_jax.report.report import summary, write_report

PICTURES = ["methods.png", "motion.gif", "motion.png", "trade_off.png", "training.png", "transfer_grid.png"]
LOSSES = [{"step": step, "loss": 1 / step, "swap": 0.5 / step} for step in range(1, 6)]
BLIND = "a blind one"


@pytest.fixture(scope="module")
def measured(perfect):
    blind = copy.copy(perfect)
    blind.decode = lambda appearance, structure: perfect.decode(appearance, jnp.zeros_like(structure))
    data = held_out(perfect, truth_animator(perfect.domain.domain, 0.8), perfect.domain.domain)
    stages = []
    metrics, methods = suite.measure(perfect, perfect.domain, {BLIND: blind}, data, stages.append)
    return perfect, data, metrics, methods, stages


@pytest.fixture(scope="module")
def pictures(measured, tmp_path_factory):
    model, data, metrics, methods, _ = measured
    folder = tmp_path_factory.mktemp("eval")
    gallery.draw(model, data, methods, model.domain, metrics, LOSSES, folder)
    return folder


def test_the_perfect_model_is_told_from_the_others(measured):
    *_, metrics, _, stages = measured
    marks = metrics["transfer"]["methods"]
    assert list(marks) == [*suite.METHODS[:-1], BLIND, suite.OURS]
    assert marks["ours"]["structure_r2"] > 0.95
    assert marks["ours"]["appearance_r2"] > 0.95
    assert marks["ours"]["mean_r2"] > marks["best layer swap"]["mean_r2"] > marks["copy source"]["mean_r2"]
    assert marks[BLIND]["structure_r2"] < 0.1
    assert metrics["transfer"]["oracle"]["mean_r2"] > 0.95
    assert metrics["transfer"]["exact"]["mean_r2"] == pytest.approx(1, abs=1e-3)
    assert len(stages) >= 5


def test_the_ends_of_the_split_curve_are_the_copies(measured):
    transfer = measured[2]["transfer"]
    assert list(transfer["splits"]) == [str(split) for split in range(11)]
    for split, name in (("0", "copy source"), ("10", "copy driving")):
        assert transfer["splits"][split]["structure_r2"] == transfer["methods"][name]["structure_r2"]
    assert transfer["methods"]["best layer swap"]["structure_r2"] == pytest.approx(
        transfer["splits"][str(transfer["best_split"])]["structure_r2"]
    )


def test_motion_probes_retrieval_and_linearity(measured):
    metrics = measured[2]
    motion = metrics["motion"]["methods"]
    assert motion["copy source"]["jitter_ratio"] == pytest.approx(0, abs=1e-5)
    assert motion["copy driving"]["jitter_ratio"] == pytest.approx(1)
    assert motion["ours"]["structure_r2"] > 0.9
    ridge = metrics["probes"]["r2"]["ridge"]
    assert ridge["structure code"]["structure"]["r2"] > 0.99
    assert ridge["structure code"]["appearance"]["r2"] < 0.2
    assert metrics["retrieval"]["same_motion"]["structure code"]["recall"] > 0.9
    assert metrics["linearity"]["structure_r2"] > 0.8
    assert metrics["reconstruction"]["latent_r2"] > 0.95


def test_every_number_is_what_it_was_when_first_recorded(measured):
    """metrics_recorded.json is what this same world gave in version 0.2.0: a change of code must not change figures."""
    recorded = json.loads((Path(__file__).parent / "metrics_recorded.json").read_text())
    found = flat(measured[2])
    assert set(found) == set(recorded)
    assert [name for name in found if found[name] is None] == [name for name in recorded if recorded[name] is None]
    bounds = {name: 2e-2 if "/mlp/" in name else 2e-3 + 2e-3 * abs(value or 0) for name, value in recorded.items()}
    wrong = {n: (found[n], x) for n, x in recorded.items() if x is not None and abs(found[n] - x) > bounds[n]}
    assert not wrong


def flat(node, prefix=""):
    """Numbers of nested sections by path."""
    leaves = {}
    for name, child in node.items():
        leaves |= flat(child, f"{prefix}{name}/") if isinstance(child, dict) else {prefix + name: child}
    return leaves


def test_metrics_are_plain_json(measured):
    metrics = measured[2]
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_all_pictures_are_there_and_whole(pictures):
    assert sorted(path.name for path in pictures.iterdir()) == PICTURES
    for path in pictures.iterdir():
        with Image.open(path) as image:
            assert min(image.size) > 100
            image.load()
    with Image.open(pictures / "motion.gif") as clip:
        assert getattr(clip, "n_frames", 1) == 6


def test_the_report_stands_alone(measured, pictures):
    model, _, metrics, *_ = measured
    page = write_report(metrics, json.loads(model.config.to_json()), ["make <it>"], pictures)
    assert page.count("data:image/") == len(PICTURES)
    assert not re.search(r"""(src|href)="(?!data:)|https?://|@import|<script|url\(""", page)
    assert "make &lt;it&gt;" in page
    best = re.findall(r"<tr class=\"main\"><td>ours</td>(.*?)</tr>", page)[0]
    assert best.count("<b>") >= 2
    assert not re.search(r'<tr class="aside">[^\n]*<b>', page)
    for opening in ("table", "figure", "div", "tr", "td", "p", "details"):
        assert len(re.findall(rf"<{opening}[ >]", page)) == page.count(f"</{opening}>")


def test_a_report_without_a_truth_leaves_out_what_needs_one(measured, tmp_path):
    model, data, *_ = measured
    metrics, methods = suite.measure(model, None, {}, data, lambda _: None)
    assert {"transfer", "linearity"}.isdisjoint(metrics)
    assert list(methods) == ["copy source", "copy driving", "linear transfer", "ours"]
    assert set(metrics["motion"]["methods"]["ours"]) == {"jitter_ratio"}
    gallery.draw(model, data, methods, None, metrics, [], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "methods.png",
        "motion.gif",
        "motion.png",
        "transfer_grid.png",
    ]
    page = write_report(metrics, {"generator": "another"}, [], tmp_path)
    assert "How good is it?" not in page
    assert "jitter" in summary(metrics)
