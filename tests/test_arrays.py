"""Arrays in files: exact, told apart by kind, found by name."""

import json
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

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


def test_a_header_of_countless_arrays_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.delattr(arrays, "safe_open")
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"a{i}": empty for i in range(40_000)}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=r"x\.safetensors is damaged .*its header has \d+ bytes"):
        arrays.read(tmp_path / "x.safetensors")


def test_an_archive_of_countless_members_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for i in range(20_001):
            archive.writestr(f"{i}.npy", b"")
    monkeypatch.delattr(np, "load")
    with pytest.raises(ValueError, match=r"x\.npz is no .*the archive has 20001 members"):
        arrays.read(tmp_path / "x.npz")


def test_a_member_that_is_no_array_is_named(tmp_path):
    np.savez(tmp_path / "x.npz", ws=np.zeros(3))
    assert arrays.read(tmp_path / "x.npz").arrays.keys() == {"ws"}
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("notes.txt", "taken on a Monday")
    with pytest.raises(ValueError, match=r"x\.npz is no .*its member 'notes.txt' is no array"):
        arrays.read(tmp_path / "x.npz")


def test_bfloat16_is_read_as_the_same_numbers(tmp_path):
    values = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    save_file({"ws": values}, tmp_path / "x.safetensors")
    read = arrays.read(tmp_path / "x.safetensors").arrays["ws"]
    np.testing.assert_array_equal(read, np.array([1.5, -2.0], np.float32), strict=True)
