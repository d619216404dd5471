"""Arrays in files: exact, told apart by kind, found by name."""

import numpy as np
import pytest

from disentangle_jax import arrays

VALUES = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.ones((), np.float16)}


def test_arrays_and_what_they_are_come_back(tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    arrays.save(path, VALUES, thing={"sizes": [1, 2]}, other="text")
    values, about = arrays.load(path, "thing")
    assert about == {"sizes": [1, 2]}
    assert values.keys() == VALUES.keys()
    for name, value in VALUES.items():
        np.testing.assert_array_equal(values[name], value, strict=True)
    assert arrays.load(path)[1] is None
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_keeps_what_was_there(tmp_path):
    path = tmp_path / "x.safetensors"
    arrays.save(path, VALUES)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        arrays.save(path, VALUES, thing=object())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_another_kind_and_damage_are_named(tmp_path):
    path = tmp_path / "x.safetensors"
    arrays.save(path, VALUES, thing=1)
    with pytest.raises(ValueError, match=r"x\.safetensors holds no judge: .* lack the entry 'judge'"):
        arrays.load(path, "judge")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"x\.safetensors is damaged"):
        arrays.load(path, "thing")


def test_bundled_files_are_found_by_name_and_others_by_path(tmp_path):
    assert arrays.asset("judge_a", "none").name == "judge_a.safetensors"
    assert arrays.asset("faces64", "none", "_truth.safetensors").name == "faces64_truth.safetensors"
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileNotFoundError, match="make one"):
        arrays.asset(path, "make one")
    arrays.save(path, VALUES)
    assert arrays.asset(path, "none") == arrays.asset(str(path), "none") == path
