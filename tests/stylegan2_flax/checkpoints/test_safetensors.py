"""This package's own files: what is written comes back bit for bit; anything else is refused in words."""

import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file
from safetensors.numpy import save as serialize

import stylegan2_flax as sg2
from stylegan2_flax.checkpoints.safetensors import read, recognises

NAME = "Gv_resnet"


@pytest.fixture
def path(tmp_path, generator):
    sg2.save(generator(NAME), tmp_path / "generator.safetensors")
    return tmp_path / "generator.safetensors"


def assert_same(network, other):
    first, second = sg2.to_state_dict(network), sg2.to_state_dict(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], strict=True)
    assert network.init_kwargs == other.init_kwargs


@pytest.mark.parametrize("name", [NAME, "D_d_cond"])
def test_round_trip(name, tmp_path, generator, discriminator):
    network = generator(name) if name == NAME else discriminator(name)
    sg2.save(network, tmp_path / "network.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["network.safetensors"]
    loaded = sg2.load(tmp_path / "network.safetensors")
    assert type(loaded) is type(network)
    assert_same(loaded, network)


def test_float16_rounds_once(tmp_path, generator):
    sg2.save(generator(NAME), tmp_path / "half", dtype="float16")
    first = sg2.load(tmp_path / "half")
    assert first.mapping.w_avg[...].dtype == jnp.float32
    expected = {name: array.astype(np.float16) for name, array in sg2.to_state_dict(generator(NAME)).items()}
    for name, array in sg2.to_state_dict(first).items():
        np.testing.assert_array_equal(array, expected[name].astype(np.float32), strict=True)
    sg2.save(first, tmp_path / "again", dtype="float16")
    assert_same(sg2.load(tmp_path / "again"), first)


def test_float16_leaves_filters_exact(tmp_path, randomized):
    sizes = {"channel_base": 64, "channel_max": 8, "resample_filter": [1, 2, 3, 2, 1]}
    network = randomized(lambda: sg2.Generator(8, 0, 8, 8, synthesis_kwargs=sizes, rngs=nnx.Rngs(0)))
    sg2.save(network, tmp_path / "half", dtype="float16")
    for name, array in sg2.to_state_dict(sg2.load(tmp_path / "half")).items():
        if name.endswith("resample_filter"):
            np.testing.assert_array_equal(array, sg2.to_state_dict(network)[name])


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


@pytest.mark.parametrize(("which", "fits"), [("G_ema", True), ("G", True), (None, True), ("D", False)])
def test_which_network(which, fits, path):
    if fits:
        assert read(path.read_bytes(), which).kind == "generator"
    else:
        with pytest.raises(sg2.CheckpointError, match="which='D' is not in this file: it holds a generator"):
            read(path.read_bytes(), which)


def test_recognition(path):
    data = path.read_bytes()
    assert recognises(data[:9])
    assert not any(recognises(head) for head in (data[:8], data[1:], b"", b"PK\x03\x04" + bytes(20), b"\x80\x04{}" * 9))


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_file(keep, path):
    with pytest.raises(sg2.CheckpointError, match="not a readable safetensors file"):
        read(path.read_bytes()[:keep])


def test_file_of_another_program():
    with pytest.raises(sg2.CheckpointError, match=r"not one that stylegan2_flax\.save wrote"):
        read(serialize({"weight": np.zeros(3, np.float32)}))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"init_kwargs": '{"z_dim": 3}'}, "do not fit"),
        ({"init_kwargs": '{"depth": 3}'}, "depth"),
        ({"init_kwargs": '{"z_dim": "3"}'}, "z_dim"),
        ({"init_kwargs": "{"}, "does not describe a generator"),
        ({"init_kwargs": "[1]"}, "must be a JSON object"),
        ({"init_kwargs": "[" * 100_000}, "does not describe a generator"),
        ({}, "init_kwargs"),
        ({"kind": "encoder", "init_kwargs": "{}"}, "not one that"),
        ({"kind": "discriminator", "init_kwargs": "{}"}, "do not fit the discriminator"),
    ],
)
def test_file_with_other_arguments(metadata, message, path):
    data = serialize(load_file(path), {"format": "stylegan2_flax", "kind": "generator", **metadata})
    with pytest.raises(sg2.CheckpointError, match=message):
        read(data).build()


def test_headers_larger_than_any_networks_are_refused_before_they_are_read():
    header = json.dumps({"a": " " * 2**21}).encode()
    with pytest.raises(sg2.CheckpointError, match="at most 2097152"):
        read(struct.pack("<Q", len(header)) + header)
    many = json.dumps({f"{i}": {} for i in range(10_001)}).encode()
    with pytest.raises(sg2.CheckpointError, match="at most 10000 arrays"):
        read(struct.pack("<Q", len(many)) + many)
