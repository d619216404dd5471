"""The world without pictures."""

from pathlib import Path

import pytest

from disentangle_jax.training import rules
from stylegan2_flax import command


@pytest.fixture(scope="module")
def script(load_module):
    return load_module(Path(__file__).parents[2] / "experiments" / "curved_world.py")


def test_its_configs_are_valid_and_differ_in_the_clips_alone(script):
    script.FLAGS(["curved_world", "--out=unused", "--steps=400"])
    linear, readout = (script.config_of(motion, 0) for motion in script.MOTIONS)
    for config in (linear, readout):
        rules.check(config)
    linear.clips = readout.clips
    assert linear.to_json() == readout.to_json()


def test_the_table_has_means_and_deviations_over_seeds(script):
    rows = [
        {"curvature": 1.0, "seed": seed, "method": "linear transfer", "structure": 0.6 + 0.1 * seed, "appearance": 0.9}
        for seed in (0, 1)
    ]
    assert script.table(rows).splitlines()[2] == "| 1 | linear transfer | 0.650 ± 0.071 | 0.900 ± 0.000 |  |  |"


@pytest.mark.parametrize("words", [["a"], ["-1"], ["0", "inf"], ["nan"]])
def test_curvatures_are_numbers_of_at_least_zero(script, words):
    assert script.curvatures_of(["0", "0.5"]) == [0.0, 0.5]
    with pytest.raises(ValueError, match=f"--curvatures={','.join(words)} must be numbers of at least 0"):
        script.curvatures_of(words)


@pytest.mark.slow
def test_everything_is_measured_once(script, tmp_path, capsys):
    arguments = ["curved_world", f"--out={tmp_path}", "--steps=200", "--curvatures=1"]
    command.run(script.main, script.FLAGS, arguments)
    first = (tmp_path / "results.json").read_text()
    methods = ("linear transfer", "search on the readout", "search with the truth", "model on linear clips")
    assert all(method in capsys.readouterr().out or method in first for method in methods)
    command.run(script.main, script.FLAGS, arguments)
    assert (tmp_path / "results.json").read_text() == first
