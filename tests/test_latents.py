"""Latents of random faces, of any generator; latents in files of every usual shape, and what is said of others."""

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

import stylegan2_flax as sg2
from disentangle_jax.latents import read_ws, sample_labels, sample_mixed_ws, sample_w_batches, sample_ws

LAYERS, DIM = 4, 8
RNG = np.random.default_rng(0)


def mapping(c_dim=0):
    return sg2.MappingNetwork(DIM, c_dim, DIM, LAYERS, num_layers=1, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("c_dim", [0, 3])
def test_faces_are_the_same_in_every_number_and_of_one_w(c_dim):
    ws = sample_ws(mapping(c_dim), jax.random.key(1), 70, 0.7)
    assert ws.shape == (70, LAYERS, DIM)
    np.testing.assert_array_equal(ws, np.broadcast_to(ws[:, :1], ws.shape))
    np.testing.assert_array_equal(ws, sample_ws(mapping(c_dim), jax.random.key(1), 70, 0.7))


@pytest.mark.parametrize("c_dim", [0, 3])
def test_mixed_faces_change_at_one_layer(c_dim):
    for share, most in ((0.0, 0), (1.0, 1)):
        ws = np.asarray(sample_mixed_ws(mapping(c_dim), jax.random.key(1), 50, 1.0, share))
        changes = np.any(ws[:, 1:] != ws[:, :-1], axis=2).sum(1)
        np.testing.assert_array_equal(changes, most)


def test_labels_come_from_the_classes_that_are_asked_for():
    labels = sample_labels(mapping(4), jax.random.key(0), 200, (1, 3))
    assert labels is not None
    assert set(np.argmax(labels, axis=1).tolist()) == {1, 3}
    np.testing.assert_array_equal(np.sum(labels, axis=1), 1.0)
    every = sample_labels(mapping(4), jax.random.key(0), 200, ())
    assert every is not None
    assert set(np.argmax(every, axis=1).tolist()) == {0, 1, 2, 3}
    assert sample_labels(mapping(), jax.random.key(0), 200, ()) is None


def test_a_face_of_one_class_is_what_the_mapping_makes_of_it():
    network, key = mapping(3), jax.random.key(5)
    z = jax.random.normal(key, (2, DIM))
    expected = network(z, jax.nn.one_hot(np.array([2, 2]), 3))
    np.testing.assert_allclose(sample_ws(network, key, 2, 1.0, (2,)), expected, atol=1e-6)
    batches = list(sample_w_batches(network, key, 5000, 1.0, (2,)))
    assert [len(batch) for batch in batches] == [4096, 904]


@pytest.mark.parametrize(
    ("c_dim", "message"), [(3, "no class 7: this generator has the classes 0 to 2"), (0, "it has no classes")]
)
def test_a_class_that_does_not_exist_is_refused(c_dim, message):
    with pytest.raises(ValueError, match=message):
        sample_ws(mapping(c_dim), jax.random.key(0), 2, 1.0, (7,))


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((DIM,), (LAYERS, DIM)),
        ((1, DIM), (LAYERS, DIM)),
        ((LAYERS, DIM), (LAYERS, DIM)),
        ((1, LAYERS, DIM), (LAYERS, DIM)),
        ((5, LAYERS, DIM), (5, LAYERS, DIM)),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_files_of_every_usual_shape_are_read(tmp_path, shape, read, suffix):
    ws, path = RNG.normal(size=shape).astype(np.float32), tmp_path / f"ws{suffix}"
    match suffix:
        case ".npy":
            np.save(path, ws)
        case ".npz":
            np.savez(path, ws=ws, other=np.zeros(3))
        case _:
            save_file({"latents": ws}, path)
    expected = np.tile(ws.reshape(1, DIM), (LAYERS, 1)) if ws.size == DIM else ws.reshape(read)
    np.testing.assert_array_equal(read_ws(path, LAYERS, DIM).ws, expected, strict=True)


def test_the_rate_of_a_clip_is_read_beside_it(tmp_path):
    ws = RNG.normal(size=(5, LAYERS, DIM)).astype(np.float32)
    np.save(tmp_path / "ws.npy", ws)
    np.savez(tmp_path / "ws.npz", latents=ws, fps=25)
    save_file({"ws": ws}, tmp_path / "ws.safetensors", {"fps": "29.97"})
    rates = [read_ws(tmp_path / f"ws{suffix}", LAYERS, DIM).fps for suffix in (".npy", ".npz", ".safetensors")]
    assert rates == [None, 25, 29.97]


@pytest.mark.parametrize("rate", ["0", "nan", "fast"])
def test_a_rate_that_is_none_is_told(tmp_path, rate):
    save_file({"ws": np.zeros((5, LAYERS, DIM), np.float32)}, tmp_path / "ws.safetensors", {"fps": rate})
    with pytest.raises(ValueError, match=f"says that its fps is {rate}, which must be one positive number"):
        read_ws(tmp_path / "ws.safetensors", LAYERS, DIM)


@pytest.mark.parametrize("shape", [(DIM + 1,), (2, DIM), (LAYERS + 1, DIM), (2, 3, LAYERS, DIM), (0, LAYERS, DIM)])
def test_other_shapes_are_told_what_fits(tmp_path, shape):
    np.save(tmp_path / "ws.npy", np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"latents are \[8\], \[4, 8\] or \[frames, 4, 8\]"):
        read_ws(tmp_path / "ws.npy", LAYERS, DIM)


def test_a_url_is_no_latent_file():
    with pytest.raises(ValueError, match=r"gs://bucket/ws\.npy is a URL, but latents are read from local disks alone"):
        read_ws("gs://bucket/ws.npy", LAYERS, DIM)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": np.zeros((LAYERS, DIM)), "age": 3}, "holds a pickled dict with the entries 'w', 'age', not an array"),
        ([{}, []], "holds pickled Python objects, not an array"),
    ],
)
def test_a_pickle_is_called_one_and_not_run(tmp_path, content, message):
    array = np.empty((), object) if isinstance(content, dict) else np.empty(2, object)
    array[...] = content
    np.save(tmp_path / "ws.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        read_ws(tmp_path / "ws.npy", LAYERS, DIM)
