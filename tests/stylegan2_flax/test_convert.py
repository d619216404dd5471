"""The command that converts: what it writes, what it prints, and that it never spoils what is there."""

import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax.convert import main

ARGUMENTS = {
    "z_dim": 4,
    "w_dim": 4,
    "img_resolution": 8,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 32, "channel_max": 4, "conv_clamp": 256},
}


@pytest.fixture(scope="module")
def generator(randomized):
    network = randomized(lambda: sg2.Generator(**ARGUMENTS, rngs=nnx.Rngs(0)))
    arrays = sg2.to_state_dict(network)
    usual = np.asarray(sg2.ops.setup_filter((1, 3, 3, 1)))
    arrays |= {name: usual for name in arrays if name.endswith("resample_filter")}
    return sg2.from_state_dict(arrays, **network.init_kwargs)


@pytest.fixture
def source(generator, tmp_path):
    sg2.save(generator, tmp_path / "in")
    return str(tmp_path / "in")


def assert_same_arrays(network, other, dtype: type = np.float32):
    first, second = sg2.to_state_dict(network), sg2.to_state_dict(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name].astype(dtype).astype(np.float32), strict=True)


def test_own_format(generator, source, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    main(["convert", source, str(out)])
    assert_same_arrays(sg2.load(out), generator)
    assert sg2.load(out).init_kwargs == generator.init_kwargs
    read, wrote = capsys.readouterr().out.splitlines()
    parameters = sum(np.size(leaf) for leaf in sg2.to_rosinality(generator, drop_clamp=True).values())
    parameters -= 2 * 16 + 4 + 16 + 2 * 64  # filters, mean latent and noise are no parameters
    assert read == f"Read  {source} (safetensors): generator, 8 px, {parameters:,} parameters"
    assert wrote == f"Wrote {out} (stylegan2_flax, float32): 0.0 MB"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.safetensors"]


def test_float16(generator, source, tmp_path):
    main(["convert", source, str(tmp_path / "out.safetensors"), "--dtype", "float16"])
    assert_same_arrays(sg2.load(tmp_path / "out.safetensors"), generator, np.float16)


@pytest.mark.parametrize("name", ["out.pt", "out.npz", "out.safetensors"])
def test_rosinality_there_and_back(generator, source, tmp_path, name, capsys):
    main(["convert", source, str(tmp_path / name), "--layout", "rosinality", "--drop_clamp"])
    assert "(rosinality, float32)" in capsys.readouterr().out
    main(["convert", str(tmp_path / name), str(tmp_path / "back.safetensors"), "--which", "G_ema"])
    assert_same_arrays(sg2.load(tmp_path / "back.safetensors"), generator)


def test_discriminator(randomized, tmp_path, capsys):
    network = randomized(lambda: sg2.Discriminator(c_dim=3, img_resolution=8, channel_base=32, rngs=nnx.Rngs(0)))
    sg2.save(network, tmp_path / "in")
    main(["convert", str(tmp_path / "in"), str(tmp_path / "out.safetensors"), "--which", "D"])
    assert_same_arrays(sg2.load(tmp_path / "out.safetensors"), network)
    assert "discriminator, 8 px, 3 labels, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.pth"], "OUT must end in .safetensors or .pt or .npz, got "),
        (["out.npz", "--layout", "stylegan2_flax"], "a .npz file has the layout rosinality, not stylegan2_flax"),
        (["out.npz", "--dtype", "float16"], "PyTorch takes float32"),
        (["out.npz"], "conv_clamp 256: drop_clamp=True (--drop_clamp) leaves it out"),
        (["out.safetensors", "--which", "D"], "which='D' is not in this file: it holds a generator"),
        (["in/out.safetensors"], "in is a file"),
        (["there.npz", "--drop_clamp"], "there.npz exists already: give another OUT, or --force to write over it"),
    ],
)
def test_refusals(source, tmp_path, arguments, message):
    (tmp_path / "there.npz").write_bytes(b"precious")
    with pytest.raises(SystemExit) as error:
        main(["convert", source, str(tmp_path / arguments[0]), *arguments[1:]])
    assert str(error.value).startswith("error: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / "there.npz").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "there.npz"]


def test_a_folder_is_no_output_even_with_force(source, tmp_path):
    (tmp_path / "out.pt").mkdir()
    with pytest.raises(SystemExit, match=r"out\.pt is a folder: give the name of a file"):
        main(["convert", source, str(tmp_path / "out.pt"), "--force"])


def test_force(generator, source, tmp_path):
    (tmp_path / "there.npz").write_bytes(b"old")
    main(["convert", source, str(tmp_path / "there.npz"), "--drop_clamp", "--force"])
    assert_same_arrays(sg2.load(tmp_path / "there.npz"), generator)
    main(["convert", source, source + ".safetensors"])
    main(["convert", source + ".safetensors", source + ".safetensors", "--force"])
    assert_same_arrays(sg2.load(source + ".safetensors"), generator)


def test_what_is_no_checkpoint_is_named_in_one_line(tmp_path, capsys):
    (tmp_path / "in").write_bytes(b"<html>")
    with pytest.raises(SystemExit) as error:
        main(["convert", str(tmp_path / "in"), str(tmp_path / "out.npz")])
    assert str(error.value).startswith(f"error: {tmp_path}/in: it is no checkpoint: the file is a web page")
    assert "\n" not in str(error.value)
    assert capsys.readouterr() == ("", "")
