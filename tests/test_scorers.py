"""Scorers by name, from entry points or factories, and values apart by kind."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from disentangle_jax import scorers
from disentangle_jax.faces import APPEARANCE, NAMES, STRUCTURE, Judge
from disentangle_jax.inversion import distances
from disentangle_jax.scorers import Scorer, absolute_scorer, load_scorer


@jax.tree_util.register_static
class Interleaved:
    """Reads the mean of each channel, structure between the others."""

    names = ("hue", "place", "shade", "size")
    structure = ("size", "place")

    def __call__(self, images):
        return images.mean((1, 2))


@pytest.fixture
def factories(monkeypatch):
    """A module with factories of scorers, good and bad."""
    module = types.ModuleType("scorers_of_a_user")
    vars(module).update(
        good=Interleaved,
        number=lambda: 3,
        listed=lambda: jax.tree_util.register_static(
            type("Listed", (Interleaved,), {"names": list(Interleaved.names)})
        )(),
        opaque=type("Opaque", (Interleaved,), {}),
        all_structure=lambda: jax.tree_util.register_static(
            type("AllStructure", (Interleaved,), {"structure": Interleaved.names})
        )(),
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_the_judges_are_scorers_found_by_name(tmp_path, monkeypatch):
    judge = load_scorer("judge_a")
    assert isinstance(judge, Scorer)
    assert (judge.names, judge.structure) == (NAMES, STRUCTURE)
    assert scorers.appearance_names(judge) == APPEARANCE
    Judge.load("judge_b").save(tmp_path / "mine.safetensors")
    mine = load_scorer(f"faces_judge:{tmp_path}/mine.safetensors")
    assert isinstance(mine, Judge)
    assert mine.widths == Judge.load("judge_b").widths
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_scorer("faces_judge:~/mine.safetensors").names == NAMES
    with pytest.raises(FileNotFoundError, match=r"no judge '/nowhere\.safetensors'"):
        load_scorer("faces_judge:/nowhere.safetensors")


def test_the_file_of_a_scorer_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_scorer("faces_judge:mine.safetensors") == f"faces_judge:{tmp_path / 'mine.safetensors'}"
    for name in ("judge_a", "package.module:factory"):
        assert absolute_scorer(name) == name


class Maps(Interleaved):
    def features(self, images):
        return images


def test_features_are_those_of_a_method_and_no_attribute_of_that_name():
    class WithNetwork(nnx.Module):
        names, structure = Interleaved.names, Interleaved.structure

        def __init__(self):
            self.features = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))

        def __call__(self, images):
            return self.features(images).mean((1, 2))

    images = np.zeros((2, 8, 8, 3), np.float32)
    assert scorers.features_of(WithNetwork()) is None
    given = distances._of_features(WithNetwork())(jnp.asarray(images + 0.5), jnp.asarray(images + 0.1))
    assert given.shape == (2,)
    judge = Judge.load("judge_a")
    features = scorers.features_of(judge)
    assert features is not None
    pictures = jnp.zeros((2, 64, 64, 3))
    np.testing.assert_array_equal(features(judge, pictures), judge.features(pictures))
    as_maps = scorers.features_of(Maps())
    assert as_maps is not None
    assert as_maps(Maps(), images).shape == (2, 8 * 8 * 3)


def test_a_factory_serves_without_an_entry_point(factories):
    assert load_scorer("scorers_of_a_user:good").names == Interleaved.names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("judge_z", r"unknown scorer 'judge_z': .*installed package \(.*judge_a, judge_b.*\) nor a factory"),
        ("scorers_of_a_user:bad", r"unknown scorer 'scorers_of_a_user:bad'.*has no attribute 'bad'"),
        ("no.such.module:factory", r"unknown scorer 'no\.such\.module:factory'.*No module named"),
        ("scorers_of_a_user:number", "gives a int, not a scorer: it needs names, structure, __call__"),
        (
            "scorers_of_a_user:opaque",
            "gives a Opaque that is no pytree of arrays, .* or by register_static",
        ),
        ("scorers_of_a_user:all_structure", "must have factors of structure and of appearance"),
        ("scorers_of_a_user:listed", "names and structure as tuples of strings; they are a list and a tuple"),
        ("faces_judge", "the scorer 'faces_judge' wants one: faces_judge:PATH"),
        ("judge_a:mine.safetensors", "the scorer 'judge_a' takes no path: leave the colon and what follows out"),
    ],
)
def test_what_is_no_scorer_is_refused(factories, name, message):
    with pytest.raises(ValueError, match=message):
        load_scorer(name)


def test_values_are_split_by_kind_in_their_own_order_and_joined_again():
    values = np.arange(8.0, dtype=np.float32).reshape(2, 4)
    factors = scorers.split(values, Interleaved())
    np.testing.assert_array_equal(factors.appearance, values[:, [0, 2]])
    np.testing.assert_array_equal(factors.structure, values[:, [1, 3]])
    assert scorers.structure_names(Interleaved()) == ("place", "size")
    np.testing.assert_array_equal(scorers.join(factors, Interleaved()), values)
