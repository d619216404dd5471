"""Directions in files of the user: what they may say, and what is refused."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from disentangle_jax.directions.from_file import read_directions
from disentangle_jax.generators import digest

RNG = np.random.default_rng(0)
LAYERS = (1, 3)


@pytest.fixture
def read(generator, ws):
    return lambda path: read_directions(path, generator, ws, LAYERS)


@pytest.mark.parametrize("shape", [(8,), (1, 8)])
def test_a_boundary_of_w_moves_the_layers_that_are_asked_for(tmp_path, read, ws, shape):
    boundary = RNG.normal(size=shape).astype(np.float32)
    np.save(tmp_path / "smile.npy", boundary)
    directions = read(tmp_path / "smile.npy")
    assert directions.names == ("smile",)
    vector = np.asarray(directions.vectors[0])
    np.testing.assert_array_equal(vector[[0, 4, 5]], 0.0)
    np.testing.assert_allclose(
        vector[1:4] / np.linalg.norm(vector[1]), np.tile(boundary / np.linalg.norm(boundary), (3, 1)), atol=1e-6
    )
    np.testing.assert_allclose(directions.coordinates(ws).std(0), 1.0, atol=1e-3)


@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8)])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_arrays_of_w_plus_are_taken_as_they_are(tmp_path, read, shape, suffix):
    array, path = RNG.normal(size=shape).astype(np.float32), tmp_path / f"moves{suffix}"
    match suffix:
        case ".npy":
            np.save(path, array)
        case ".npz":
            np.savez(path, array)
        case _:
            save_file({"array": array}, path)
    directions = read(path)
    assert directions.names == (("moves",) if len(shape) == 2 else ("moves_0", "moves_1", "moves_2"))
    mine, theirs = np.asarray(directions.vectors).reshape(-1, 48), array.reshape(-1, 48)
    cosines = (mine * theirs).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(theirs, axis=1)
    np.testing.assert_allclose(cosines, 1.0, atol=1e-5)


def save(path, array, **about):
    if path.suffix == ".npz":
        entries: dict[str, Any] = {"directions": array} | {name: np.array(text) for name, text in about.items()}
        np.savez(path, **entries)
    else:
        save_file({"directions": array}, path, about)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_a_file_says_is_taken_over_or_checked(tmp_path, generator, read, suffix):
    array, path = RNG.normal(size=(2, 6, 8)).astype(np.float32), tmp_path / f"moves{suffix}"
    fine = {"space": "w+", "generator": digest(generator), "names": "smile, yaw"}
    assert read(save(path, array, **fine)).names == ("smile", "yaw")
    for change, message in (
        ({"space": "Z"}, r"of the space Z; latents here are of W\+"),
        ({"space": "StyleSpace"}, "of the space StyleSpace"),
        (
            {"generator": "0123456789abcdef"},
            f"generator 0123456789abcdef; the digest of this one is {digest(generator)}",
        ),
        ({"names": "smile"}, "holds 2 directions, but as names smile"),
    ):
        with pytest.raises(ValueError, match=message):
            read(save(path, array, **(fine | change)))


def test_saved_directions_are_read_as_they_were(tmp_path, read, scored):
    scored[0].save(tmp_path / "directions.safetensors")
    again = read(tmp_path / "directions.safetensors")
    assert again.names == scored[0].names
    np.testing.assert_array_equal(again.normals, scored[0].normals)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.ones((18, 512)),
            r"shape \[18, 512\]; directions of this generator: \[8\], \[6, 8\] or \[directions, 6, 8\]",
        ),
        (np.ones((0, 6, 8)), r"shape \[0, 6, 8\]"),
        (np.full(8, np.nan), "nan.npy: no direction can be made of nan"),
        (np.ones(8, bool), "holds bool values"),
        (np.ones((2, 6, 8)), "depend on each other"),
    ],
)
def test_arrays_that_are_no_directions_are_refused(tmp_path, read, array, message):
    np.save(tmp_path / "nan.npy", array)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "nan.npy")


def test_files_that_are_none_are_refused(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="no file of directions"):
        read(tmp_path / "nowhere.npy")
    np.savez(tmp_path / "two.npz", a=np.ones(8), b=np.ones(8))
    with pytest.raises(ValueError, match="holds 2 arrays, but none named directions"):
        read(tmp_path / "two.npz")
    (tmp_path / "text.pt").write_text("x")
    with pytest.raises(ValueError, match=r"is no file of torch\.save"):
        read(tmp_path / "text.pt")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_files_cut_short_are_named(tmp_path, read, suffix):
    path = tmp_path / f"cut{suffix}"
    np.save(path, np.ones(8)) if suffix == ".npy" else save(path, np.ones(8))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="damaged"):
        read(path)
