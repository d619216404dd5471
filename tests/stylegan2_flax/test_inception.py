"""The Inception network against features that torch-fidelity 0.4.0 gave for random weights and a random picture."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from stylegan2_flax import inception
from stylegan2_flax.checkpoints.network_data import CheckpointError


def random_arrays(shapes):
    """Weights as the golden's: uniform numbers, scaled so that activations keep their size."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in sorted(shapes.items()):
        uniform = rng.random(shape, np.float32)
        if name.endswith("conv.weight"):
            arrays[name] = (2 * uniform - 1) * np.float32(np.sqrt(6 / np.prod(shape[1:])))
        else:
            arrays[name] = uniform + np.float32(0.5 if name.endswith(("bn.weight", "running_var")) else -0.5)
    return arrays


@pytest.fixture(scope="module")
def arrays(golden):
    return random_arrays(json.loads(str(golden("inception")["shapes_json"])))


@pytest.fixture(scope="module")
def network(arrays):
    return inception.from_state_dict(arrays)


@pytest.fixture(scope="module")
def features():
    return jax.jit(lambda network, images: network(images))


def test_features_are_those_of_the_peer(golden, network, features, relative_error):
    images = golden("inception")["pixels"].astype(np.float32) / np.float32(127.5) - 1
    assert relative_error(features(network, images), golden("inception")["features"]) < 1e-6


def test_a_file_of_the_names_is_the_network(tmp_path, arrays, network):
    further = {
        "fc.weight": np.zeros((1008, 2048), np.float32),
        "Mixed_5b.branch1x1.bn.num_batches_tracked": np.array(1),
    }
    save_file(arrays | further, tmp_path / "weights.safetensors")
    jax.tree.map(np.testing.assert_array_equal, inception.load(tmp_path / "weights.safetensors"), network)


@pytest.mark.parametrize("size", [(299, 598), (13, 299)])
def test_pictures_are_resized_as_tensorflow_1_did(size):
    levels = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.float32)
    prepared = np.asarray(inception.prepare(jnp.asarray(levels / np.float32(127.5) - 1))) * 128 + 128
    positions = [np.arange(299) * length / 299 for length in size]
    expected = levels[0]
    for axis, position in enumerate(positions):
        below, above = np.floor(position).astype(int), np.minimum(np.floor(position).astype(int) + 1, size[axis] - 1)
        part = (position - below).reshape([-1 if i == axis else 1 for i in range(3)])
        expected = expected.take(below, axis) * (1 - part) + expected.take(above, axis) * part
    np.testing.assert_allclose(prepared[0], expected, atol=1e-3)


def test_pictures_have_the_levels_of_a_file():
    exact = jnp.linspace(-1, 1, 256).reshape(1, 16, 16, 1)
    prepared = inception.prepare(exact)
    assert prepared.shape == (1, 299, 299, 3)
    np.testing.assert_array_equal(inception.prepare(exact + 0.003), prepared)
    np.testing.assert_array_equal(prepared[..., 0], prepared[..., 2])
    assert (float(prepared.min()), float(prepared.max())) == (-1, 127 / 128)
    assert float(inception.prepare(exact * 2).max()) == pytest.approx(127 / 128)
    with pytest.raises(ValueError, match="3 channels, or of 1; got 4"):
        inception.prepare(jnp.zeros((1, 8, 8, 4)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"AuxLogits.fc.weight": np.zeros(1)}, "torchvision's Inception-v3"),
        ({"fc.weight": np.zeros((1000, 2048))}, "torchvision's Inception-v3"),
        ({"head.weight": np.zeros(1)}, r"0 arrays are missing \[\], 1 are unknown \['head.weight'\]"),
        ({"Mixed_6b.branch_pool.bn.bias": np.zeros(3)}, r"bn\.bias must have shape \[192\], has \[3\]"),
    ],
)
def test_other_weights_are_refused(arrays, change, message):
    with pytest.raises(CheckpointError, match=message):
        inception.from_state_dict(arrays | change)


def test_files_of_other_things_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no Inception weights at"):
        inception.load(tmp_path / "absent.pth")
    np.savez(tmp_path / "other.npz", mu=np.zeros(3))
    save_file({"mu": np.zeros(3)}, tmp_path / "other.safetensors")
    for name in ("other.npz", "other.safetensors"):
        with pytest.raises(CheckpointError, match=rf"{name}: .*470 arrays are missing .* \['mu'\]"):
            inception.load(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-30])
        with pytest.raises(CheckpointError, match=f"{name}: .* cut short"):
            inception.load(tmp_path / name)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(CheckpointError, match=r"text\.pth: "):
        inception.load(tmp_path / "text.pth")


def test_files_of_torch_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"mu": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"470 arrays are missing .* \['mu'\]"):
        inception.load(tmp_path / "other.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no dictionary of arrays"):
        inception.load(tmp_path / "list.pth")
