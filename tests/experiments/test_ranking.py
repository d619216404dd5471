"""The comparison of two rankings in closed form, and a small run of the whole script."""

from pathlib import Path

import numpy as np
import pytest

from disentangle_jax.directions.ranking import Ranking
from stylegan2_flax import command

SCRIPT = Path(__file__).parents[2] / "experiments" / "ranking.py"


@pytest.fixture(scope="module")
def script(load_module):
    return load_module(SCRIPT)


def ranking(structure):
    structure = np.asarray(structure, np.float64)
    return Ranking("scorer", 4, 1.0, tuple("abcd"), structure, np.zeros_like(structure))


def test_agreement_is_of_ranks_and_purity_is_the_judges(script):
    judge = ranking([3.0, 1.0, 2.0, 0.5])
    same = script.compare(ranking([9.0, 2.0, 4.0, 1.0]), judge, 2)
    assert same["agreement"] == pytest.approx(1.0)
    assert same["kept by pictures"] == same["kept by the judge"] == pytest.approx((0.9 + 0.8) / 2)
    turned = script.compare(ranking([1.0, 4.0, 2.0, 9.0]), judge, 1)
    assert turned["agreement"] == pytest.approx(-1.0)
    assert turned["kept by pictures"] == pytest.approx(0.2)
    assert turned["all"] == pytest.approx((0.9 + 0.5 + 0.8 + 0.2) / 4)


def test_seeds_that_are_no_numbers_are_refused(script):
    with pytest.raises(SystemExit, match=r"error: flag --seeds=.* must be numbers, such as 0,1"):
        command.run(script.main, script.FLAGS, ["ranking.py", "--seeds=0,x"])


@pytest.mark.slow
def test_a_small_run(script, capsys):
    command.run(script.main, script.FLAGS, ["ranking.py", "--seeds=0,1", "--faces=4"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[-4:]] == [f"| {name}" for name in script.COLUMNS]
