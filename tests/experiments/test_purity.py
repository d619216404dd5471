"""The measure of purity in closed form; its table and picture; and a whole run, which is slow."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan2_flax import command

SCRIPT = Path(__file__).parents[2] / "experiments" / "purity.py"
A, F = 9, 16


@pytest.fixture(scope="module")
def purity(load_module):
    return load_module(SCRIPT)


def test_random_pairs_drift_by_one(purity):
    spread = np.linspace(0.2, 3.0, F)
    frames, augmented = spread * np.random.default_rng(0).normal(size=(2, 2000, 3, F))
    changes = purity.measure(frames, augmented, spread)
    assert changes == pytest.approx(dict.fromkeys(purity.CHANGES, 1.0), abs=0.03)


def test_still_appearance_and_kept_structure_are_pure(purity):
    rng = np.random.default_rng(0)
    frames, augmented = rng.normal(size=(2, 2000, 3, F))
    frames[..., :A] = frames[:, :1, :A]
    augmented[..., A:] = frames[..., A:]
    changes = purity.measure(frames, augmented, np.ones(F))
    expected = {"clip_appearance": 0.0, "clip_structure": 1.0, "augmented_structure": 0.0, "augmented_appearance": 1.0}
    assert changes == pytest.approx(expected, abs=0.03)


def test_table_and_picture_have_a_row_for_each_setting(purity, tmp_path):
    row = {**dict.fromkeys(purity.CHANGES, 0.25), "clip_appearance_net": 0.1234, "augmented_structure_net": 0.2}
    rows = [{"name": name, **row} for name in ("exact pictures", "one", "another")]
    text = purity.table(rows)
    assert len(text.splitlines()) == 5
    assert "| another | 0.250 | 0.123 | 0.250 | 0.250 | 0.200 | 0.250 |" in text
    purity.draw(rows, tmp_path / "purity.png")
    with Image.open(tmp_path / "purity.png") as image:
        assert image.width > 500


def test_odd_numbers_of_clips_are_refused(purity, tmp_path):
    with pytest.raises(SystemExit, match="must be a multiple of 8"):
        command.run(purity.main, purity.FLAGS, ["purity.py", f"--out={tmp_path}", "--clips=3"])


@pytest.mark.slow
def test_a_whole_run(purity, tmp_path, capsys):
    command.run(
        purity.main,
        purity.FLAGS,
        ["purity.py", f"--out={tmp_path}", "--clips=8", "--num_samples=256", "--directions=random"],
    )
    rows = json.loads((tmp_path / "purity.json").read_text())["settings"]
    assert [row["name"] for row in rows] == ["exact pictures", "random directions"]
    assert rows[0]["clip_appearance"] < 0.15 < rows[1]["clip_appearance"]
    assert "random directions" in capsys.readouterr().out
    assert (tmp_path / "purity.png").is_file()
