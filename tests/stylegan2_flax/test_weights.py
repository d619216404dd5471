"""State dicts and files: what is written comes back bit for bit; what does not fit is refused in words."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import stylegan2_flax as sg2

NAME = "Gv_resnet"


@pytest.fixture
def path(tmp_path, generator):
    sg2.save(generator(NAME), tmp_path / "generator.safetensors")
    return tmp_path / "generator.safetensors"


def assert_same(generator, other):
    first, second = sg2.to_state_dict(generator), sg2.to_state_dict(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], strict=True)
    assert generator.init_kwargs == other.init_kwargs


def test_state_dict_is_the_identity(generator, parameters):
    given, returned = parameters(NAME), sg2.to_state_dict(generator(NAME))
    assert given.keys() == returned.keys()
    for name in given:
        np.testing.assert_array_equal(returned[name], given[name], strict=True)


def test_state_dict_that_does_not_fit(parameters, arguments):
    arrays = dict(parameters(NAME))
    arrays["synthesis.b8.conv9.weight"] = arrays.pop("synthesis.b8.conv0.weight")
    arrays["mapping.w_avg"] = arrays["mapping.w_avg"][:3]
    with pytest.raises(ValueError, match="do not fit") as error:
        sg2.from_state_dict(arrays, **arguments(NAME))
    for part in (
        "missing synthesis.b8.conv0.weight;",
        "unexpected synthesis.b8.conv9.weight;",
        "mapping.w_avg must have shape [24], has [3]",
    ):
        assert part in str(error.value)


def test_unknown_kind(parameters, arguments):
    with pytest.raises(ValueError, match="kind 'encoder'"):
        sg2.from_state_dict(parameters(NAME), kind="encoder", **arguments(NAME))


def test_file_round_trip(path, generator):
    loaded = sg2.load(path)
    assert_same(loaded, generator(NAME))
    assert loaded.mapping.w_avg[...].dtype == jnp.float32
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_float16_rounds_once(tmp_path, generator):
    sg2.save(generator(NAME), tmp_path / "half", dtype="float16")
    first = sg2.load(tmp_path / "half")
    expected = {name: array.astype(np.float16) for name, array in sg2.to_state_dict(generator(NAME)).items()}
    for name, array in sg2.to_state_dict(first).items():
        np.testing.assert_array_equal(array, expected[name].astype(np.float32), strict=True)
    sg2.save(first, tmp_path / "again", dtype="float16")
    assert_same(sg2.load(tmp_path / "again"), first)


def test_float16_refuses_what_it_cannot_hold(tmp_path, parameters, arguments):
    arrays = dict(parameters(NAME))
    arrays["mapping.w_avg"] = np.full_like(arrays["mapping.w_avg"], 1e5)
    generator = sg2.from_state_dict(arrays, **arguments(NAME))
    with pytest.raises(ValueError, match=r"mapping\.w_avg holds values beyond the range of float16"):
        sg2.save(generator, tmp_path / "half", dtype="float16")
    assert not list(tmp_path.iterdir())


def test_metadata_is_kept(tmp_path, generator):
    sg2.save(generator(NAME), tmp_path / "generator", metadata={"trained_on": "faces"})
    header = (tmp_path / "generator").read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert json.loads(header[8 : 8 + size])["__metadata__"]["trained_on"] == "faces"
    with pytest.raises(ValueError, match="init_kwargs"):
        sg2.save(generator(NAME), tmp_path / "generator", metadata={"init_kwargs": "{}"})


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        sg2.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_file(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        sg2.load(path)


def test_file_of_another_program(path):
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(ValueError, match=r"not one that stylegan2_flax\.save wrote"):
        sg2.load(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"init_kwargs": '{"z_dim": 3}'}, "do not fit"),
        ({"init_kwargs": '{"depth": 3}'}, "depth"),
        ({"init_kwargs": "{"}, "does not describe a generator"),
        ({"init_kwargs": "[1]"}, "does not describe a generator"),
        ({}, "init_kwargs"),
    ],
)
def test_file_with_other_arguments(path, metadata, message):
    save_file(load_file(path), path, {"format": "stylegan2_flax", "kind": "generator", **metadata})
    with pytest.raises(ValueError, match=message):
        sg2.load(path)
