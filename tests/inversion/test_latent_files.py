"""Latents in files of every usual shape: what is written of them, what is read, and what is said of others."""

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import stylegan2_flax as sg2
from disentangle_jax.generators import digest
from disentangle_jax.inversion.latent_files import read_latents, write_latents

LAYERS, DIM = 4, 8
RNG = np.random.default_rng(0)


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
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".pt"])
def test_files_of_every_usual_shape_are_read(tmp_path, generator, writers, shape, read, suffix):
    ws, path = 0.02 * RNG.normal(size=shape).astype(np.float32), tmp_path / f"ws{suffix}"
    match suffix:
        case ".npy":
            np.save(path, ws)
        case ".npz":
            np.savez(path, ws=ws, other=np.zeros(3))
        case ".pt":
            path.write_bytes(writers.torch_zip(writers.with_tensors(ws)))
        case _:
            save_file({"latents": ws}, path)
    expected = np.tile(ws.reshape(1, DIM), (LAYERS, 1)) if ws.size == DIM else ws.reshape(read)
    np.testing.assert_array_equal(read_latents(path, generator).ws, expected, strict=True)


def test_numbers_too_large_for_float32_are_told(tmp_path, generator):
    np.save(tmp_path / "ws.npy", np.full((LAYERS, DIM), 1e39))
    with pytest.raises(ValueError, match=r"not finite \(NaN or infinite\) as float32"):
        read_latents(tmp_path / "ws.npy", generator)


def test_the_rate_of_a_clip_is_read_beside_it(tmp_path, generator):
    ws = 0.02 * RNG.normal(size=(5, LAYERS, DIM)).astype(np.float32)
    np.save(tmp_path / "ws.npy", ws)
    np.savez(tmp_path / "ws.npz", latents=ws, fps=25)
    save_file({"ws": ws}, tmp_path / "ws.safetensors", {"fps": "29.97"})
    rates = [read_latents(tmp_path / f"ws{suffix}", generator).fps for suffix in (".npy", ".npz", ".safetensors")]
    assert rates == [None, 25, 29.97]


@pytest.mark.parametrize("rate", ["0", "nan", "fast"])
def test_a_rate_that_is_none_is_told(tmp_path, generator, rate):
    save_file({"ws": np.zeros((5, LAYERS, DIM), np.float32)}, tmp_path / "ws.safetensors", {"fps": rate})
    with pytest.raises(ValueError, match=f"says that its fps is {rate}, which must be one positive number"):
        read_latents(tmp_path / "ws.safetensors", generator)


@pytest.mark.parametrize("shape", [(DIM + 1,), (2, DIM), (LAYERS + 1, DIM), (2, 3, LAYERS, DIM), (0, LAYERS, DIM)])
def test_other_shapes_are_told_what_fits(tmp_path, generator, shape):
    np.save(tmp_path / "ws.npy", np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"latents are \[8\], \[4, 8\] or \[frames, 4, 8\]"):
        read_latents(tmp_path / "ws.npy", generator)


def test_a_url_is_no_latent_file(generator):
    with pytest.raises(ValueError, match=r"gs://bucket/ws\.npy is a URL, but latents are read from local disks alone"):
        read_latents("gs://bucket/ws.npy", generator)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": np.zeros((LAYERS, DIM)), "age": 3}, "holds a pickled dict with the entries 'w', 'age', not an array"),
        ([{}, []], "holds pickled Python objects, not an array"),
    ],
)
def test_a_pickle_is_called_one_and_not_run(tmp_path, generator, content, message):
    array = np.empty((), object) if isinstance(content, dict) else np.empty(2, object)
    array[...] = content
    np.save(tmp_path / "ws.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        read_latents(tmp_path / "ws.npy", generator)


def test_what_is_written_says_what_it_is_and_is_read_again(tmp_path, generator, ws):
    path, tuned = tmp_path / "ws.safetensors", (tmp_path / "tuned.safetensors", generator)
    write_latents(path, ws, generator, name="tiny", source="clip.mp4", fps=29.97, tuned=tuned)
    again = read_latents(path, generator)
    np.testing.assert_array_equal(again.ws, ws)
    assert (again.fps, again.tuned) == (29.97, tmp_path / "tuned.safetensors")
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {
            "generator": "tiny",
            "generator_digest": digest(generator),
            "space": "w+",
            "num_ws": "4",
            "psi": "1",
            "source": "clip.mp4",
            "fps": "29.97",
            "tuned_generator": "tuned.safetensors",
            "tuned_digest": digest(generator),
        }


def test_only_the_generator_that_was_tuned_to_latents_draws_them(tmp_path, generator, ws):
    path, tuned = tmp_path / "ws.safetensors", tmp_path / "tuned.safetensors"
    write_latents(path, ws, generator, tuned=(tuned, generator))
    with pytest.raises(FileNotFoundError, match=r"tuned to it, tuned\.safetensors, which does not lie beside it"):
        read_latents(path, generator).load_tuned(path)
    sg2.save(generator, tuned)
    loaded = read_latents(path, generator).load_tuned(path)
    assert loaded is not None
    assert digest(loaded) == digest(generator)
    other = jax.jit(lambda: jax.tree.map(lambda leaf: 2 * leaf, generator))()
    sg2.save(other, tuned)
    with pytest.raises(ValueError, match=r"tuned\.safetensors holds another one"):
        read_latents(path, generator).load_tuned(path)
    assert read_latents(tmp_path / "ws.safetensors", generator)._replace(tuned=None).load_tuned(path) is None


def test_latents_of_photos_say_so(tmp_path, generator, ws):
    write_latents(tmp_path / "ws.safetensors", ws, generator, are_photos=True)
    assert read_latents(tmp_path / "ws.safetensors", generator).are_photos


def test_a_path_in_the_record_does_not_lead_out_of_the_folder(tmp_path, generator, ws):
    save_file({"ws": ws}, tmp_path / "ws.safetensors", {"tuned_generator": "../../other.safetensors"})
    assert read_latents(tmp_path / "ws.safetensors", generator).tuned == tmp_path / "other.safetensors"


def test_latents_of_another_generator_are_refused_by_name(tmp_path, generator, ws):
    save_file({"ws": ws}, tmp_path / "ws.safetensors", {"generator": "cats", "generator_digest": "0123456789abcdef"})
    with pytest.raises(ValueError, match=r"another generator \(cats, digest 0123456789abcdef; this one's is \w{16}\)"):
        read_latents(tmp_path / "ws.safetensors", generator)


def test_latents_far_out_are_warned_about(tmp_path, generator):
    np.save(tmp_path / "ws.npy", np.full((LAYERS, DIM), 100, np.float32))
    with pytest.warns(UserWarning, match=r"holds latents up to [\d.]+ standard deviations from the generator's mean"):
        read_latents(tmp_path / "ws.npy", generator)


def test_a_torch_file_that_is_none_is_told(tmp_path, generator):
    (tmp_path / "ws.pt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match=r"ws\.pt is no file of torch\.save, or is damaged"):
        read_latents(tmp_path / "ws.pt", generator)


def test_a_rate_keeps_all_of_its_digits(tmp_path, generator, ws):
    write_latents(tmp_path / "x.safetensors", ws, generator, fps=30000 / 1001)
    assert read_latents(tmp_path / "x.safetensors", generator).fps == 30000 / 1001
