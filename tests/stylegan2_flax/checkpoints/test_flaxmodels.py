"""flaxmodels' HDF5 files: written here in that layout, read back bit for bit, and drawn as flaxmodels draws them.

`flaxmodels.npz` holds what flaxmodels 0.1.3 (jax 0.4.35, flax 0.10.2) made of the files that `write` writes for the
networks of `networks`: images [b, h, w, c] for `z`, and logits for those images and `labels`.
"""

import io
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax.checkpoints import flaxmodels
from stylegan2_flax.checkpoints.network_data import CheckpointError

h5py = pytest.importorskip("h5py")

PEER = np.load(Path(__file__).with_name("flaxmodels.npz"))


def arrays_of(network: Any) -> dict[str, np.ndarray]:
    """The network's arrays under flaxmodels' names and in its shapes."""
    is_generator = isinstance(network, sg2.Generator)
    return dict(
        (_generator_array if is_generator else _discriminator_array)(name.split("."), array)
        for name, array in sg2.to_state_dict(network).items()
        if not name.endswith("resample_filter")
    )


def _generator_array(name: list[str], array: np.ndarray) -> tuple[str, np.ndarray]:
    if name[0] == "mapping":
        layer = "/".join(name[1:]).replace("embed", "label_embedding")
        return f"mapping_network/{layer}", array.T
    if name[2] == "const":
        return "synthesis_network/const", np.moveaxis(array, 0, 2)[None]
    size = name[1][1:]
    layer = {"conv0": "layer0", "conv1": "layer0" if size == "4" else "layer1", "torgb": "torgb"}[name[2]]
    path = f"synthesis_network/block_{size}x{size}/{layer}"
    match name[3:]:
        case ["affine", "weight"]:
            return f"{path}/affine/weight", array.T
        case ["affine", "bias"]:
            return f"{path}/affine/bias", array - 1
        case ["noise_const"]:
            return f"{path}/noise_const", array[None, :, :, None]
        case ["noise_strength"]:
            return f"{path}/noise_strength", array
        case ["weight"] if name[2] == "conv0":
            return f"{path}/conv/weight", array[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
        case ["weight"]:
            return f"{path}/conv/weight", array.transpose(2, 3, 1, 0)
    return f"{path}/conv/bias", array


def _discriminator_array(name: list[str], array: np.ndarray) -> tuple[str, np.ndarray]:
    *layer, part = name
    size = layer[0][1:]
    path = {
        "mapping.embed": "label_embedding",
        "b4.conv": "block_4x4/conv0",
        "b4.fc": "block_4x4/fc0",
        "b4.out": "output",
    }.get(".".join(layer), f"block_{size}x{size}/{layer[1]}")
    return f"discriminator/{path}/{part}", array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def write(arrays: dict[str, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, array in arrays.items():
            file.create_dataset(path, data=array, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def networks(make) -> dict[str, Any]:
    """In shapes where few sizes are equal; the mapping network's numbers of the size that training has."""
    generator = make("generator", img_resolution=16, w_dim=8, synthesis_kwargs={"channel_base": 64, "channel_max": 8})
    arrays = {
        name: array * np.float32(100 if name.startswith("mapping.fc") else 1)
        for name, array in sg2.to_state_dict(generator).items()
    }
    statistics = {"mbstd_group_size": None, "mbstd_num_channels": 1}
    return {
        "generator": sg2.from_state_dict(arrays, **generator.init_kwargs),
        "resnet": make("discriminator", img_resolution=16, epilogue_kwargs=statistics),
        "orig": make(
            "discriminator",
            img_resolution=16,
            c_dim=3,
            architecture="orig",
            mapping_kwargs={"num_layers": 0},
            epilogue_kwargs={**statistics, "mbstd_group_size": 32},
        ),
    }


def same_arrays(network: Any, other: Any) -> None:
    first, second = sg2.to_state_dict(network), sg2.to_state_dict(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], strict=True)


def call(network: Any, *arguments: Any) -> Any:
    graphdef, state = nnx.split(network)
    return jax.jit(lambda state: nnx.merge(graphdef, state)(*arguments))(state)


@pytest.mark.parametrize("name", ["generator", "resnet", "orig"])
def test_round_trip(networks, name):
    network = networks[name]
    same_arrays(flaxmodels.read(write(arrays_of(network))).build(), network)


def test_same_images_as_flaxmodels(networks, relative_error):
    network = flaxmodels.read(write(arrays_of(networks["generator"]))).build()
    assert relative_error(call(network, PEER["z"]), PEER["images"]) < 1e-6


@pytest.mark.parametrize("name", ["resnet", "orig"])
def test_same_logits_as_flaxmodels(networks, relative_error, name):
    network = flaxmodels.read(write(arrays_of(networks[name]))).build()
    labels = PEER["labels"] if name == "orig" else None
    assert relative_error(call(network, PEER["images"], labels), PEER[name]) < 1e-5


def test_arguments(networks):
    generator = flaxmodels.read(write(arrays_of(networks["generator"])), "G_ema").init_kwargs
    assert generator == {
        "z_dim": 8,
        "c_dim": 0,
        "w_dim": 8,
        "img_resolution": 16,
        "img_channels": 3,
        "mapping_kwargs": {"num_layers": 2, "layer_features": 8, "lr_multiplier": 0.01},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
    }
    discriminator = flaxmodels.read(write(arrays_of(networks["orig"])), "D").init_kwargs
    assert discriminator["architecture"] == "orig"
    assert discriminator["c_dim"] == 3
    assert discriminator["epilogue_kwargs"]["mbstd_group_size"] == 32


def test_labels_of_a_generator(make):
    network = make("generator", c_dim=3, w_dim=8, mapping_kwargs={"num_layers": 2, "embed_features": 5})
    arrays = arrays_of(network)
    same_arrays(flaxmodels.read(write(arrays)).build(), network)
    del arrays["mapping_network/w_avg"]
    with pytest.raises(CheckpointError, match="conditional and has no mean latent"):
        flaxmodels.read(write(arrays))


def test_mean_latent_is_found_where_it_is_missing(networks):
    arrays = arrays_of(networks["generator"])
    del arrays["mapping_network/w_avg"]
    network = flaxmodels.read(write(arrays)).build()
    z = np.random.default_rng(0).standard_normal((20_000, 8), np.float32)
    ws = np.asarray(call(networks["generator"].mapping, z))[:, 0]
    np.testing.assert_allclose(network.mapping.w_avg[...], ws.mean(0), atol=4 * ws.std() / 4096**0.5)


def test_other_storage_of_the_same_numbers(networks):
    arrays = arrays_of(networks["generator"])
    numbers = {path: array for path, array in arrays.items() if array.ndim}
    for path in arrays.keys() - numbers.keys():
        numbers[path] = arrays[path][None]  # a number as an array of one
    data = write(numbers, compression="gzip", shuffle=True, fletcher32=True, dtype=">f8")
    same_arrays(flaxmodels.read(data).build(), networks["generator"])


def test_datasets_of_no_network_are_left_alone(networks):
    arrays = {**arrays_of(networks["generator"]), "about": "trained on faces", "mapping_network/step": np.ones(2)}
    same_arrays(flaxmodels.read(write(arrays)).build(), networks["generator"])


@pytest.mark.parametrize(
    ("name", "which", "message"),
    [("generator", "D", "no network D: it holds a generator"), ("orig", "G", "no network G: it holds a discriminator")],
)
def test_which(networks, name, which, message):
    with pytest.raises(CheckpointError, match=message):
        flaxmodels.read(write(arrays_of(networks[name])), which)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"synthesis_network/block_8x8/layer1/conv/bias": None},
            "missing synthesis_network/block_8x8/layer1/conv/bias",
        ),
        (
            {"synthesis_network/block_8x8/torgb/conv/weight": None},
            "missing synthesis_network/block_8x8/torgb/conv/weight",
        ),
        ({"mapping_network/fc0/weight": None}, "missing mapping_network/fc0/weight"),
        ({"synthesis_network/const": None}, "missing synthesis_network/const"),
        ({"synthesis_network/extra/weight": np.zeros(2)}, "unexpected synthesis_network/extra/weight"),
        ({"synthesis_network/const": np.zeros((1, 4, 8))}, r"const has the wrong shape \[1, 4, 8\]"),
        ({"synthesis_network/block_4x4/layer0/conv/weight": np.zeros((3, 8, 8))}, "conv/weight has the wrong shape"),
        ({"synthesis_network/block_8x8/layer1/conv/weight": np.zeros((3, 3, 8, 7))}, "8 at 4 px, 7 at 8 px.*not min"),
        ({"mapping_network/fc1/weight": np.zeros((7, 8))}, r"fc1.weight \[8, 7\].*does not fit 8 inputs"),
        ({"mapping_network/fc1/bias": np.zeros(7)}, "does not fit 8 inputs"),
        ({"mapping_network/fc0/weight": np.zeros((0, 8))}, "wrong shape"),
        ({"synthesis_network/const": "text"}, "const is no array of numbers"),
        ({"synthesis_network/const": np.zeros((1, 4, 4, 8), complex)}, "const is no array of numbers"),
        ({"synthesis_network/const": h5py.Empty("f4")}, "const is no array of numbers"),
        ({"generator/weight": np.zeros(3)}, "not one of flaxmodels' StyleGAN2: it holds generator, mapping_network"),
    ],
)
def test_files_that_do_not_fit(networks, changes, message):
    arrays = {**arrays_of(networks["generator"]), **changes}
    data = write({path: array for path, array in arrays.items() if array is not None})
    with pytest.raises(CheckpointError, match=message):
        flaxmodels.read(data)


def changed(networks: dict[str, Any], change: Any) -> bytes:
    stream = io.BytesIO(write(arrays_of(networks["generator"])))
    with h5py.File(stream, "r+") as file:
        change(file)
    return stream.getvalue()


def test_nothing_outside_the_file_is_read(networks, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(1000))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["const"] = np.zeros((1, 4, 4, 8), np.float32)
    path = "synthesis_network/const"

    def link(file, target):
        del file[path]
        file[path] = target

    def external(file):
        del file[path]
        file.create_dataset(path, (1, 4, 4, 8), "f4", external=[(str(tmp_path / "secret"), 0, 512)])

    def virtual(file):
        del file[path]
        layout = h5py.VirtualLayout((1, 4, 4, 8), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "const", (1, 4, 4, 8))
        file.create_virtual_dataset(path, layout)

    for change, message in (
        (lambda file: link(file, h5py.ExternalLink(str(tmp_path / "other.h5"), "const")), "link to elsewhere"),
        (lambda file: link(file, h5py.SoftLink("/mapping_network/w_avg")), "link to elsewhere"),
        (external, "in another file, which is not read"),
        (virtual, "in another file, which is not read"),
    ):
        with pytest.raises(CheckpointError, match=message):
            flaxmodels.read(changed(networks, change))


def test_hostile_structure(networks):
    def circle(file):
        for i in range(50):
            file[f"synthesis_network/circle{i}"] = file["synthesis_network"]

    def claim(file):
        file.create_dataset("mapping_network/fc9/weight", (10**6, 10**6), "f4", chunks=(1000, 1000))

    with pytest.raises(CheckpointError, match="more groups and datasets"):
        flaxmodels.read(changed(networks, circle))
    with pytest.raises(CheckpointError, match="claim more than twice"):
        flaxmodels.read(changed(networks, claim))


@pytest.mark.parametrize("keep", [9, 100, 0.3, 0.7, 0.99])
def test_truncated(networks, keep):
    data = write(arrays_of(networks["generator"]))
    with pytest.raises(CheckpointError, match=r"damaged or cut short: .+; get the file again"):
        flaxmodels.read(data[: int(keep * len(data)) if keep < 1 else keep])


def test_without_h5py(networks, monkeypatch):
    data = write(arrays_of(networks["generator"]))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="pip install h5py"):
        flaxmodels.read(data)


@pytest.mark.parametrize("cases", [45, pytest.param(450, marks=pytest.mark.slow)])
def test_damaged_files(networks, cases):
    data, rng = write(arrays_of(networks["generator"])), np.random.default_rng(0)
    refused = 0
    for case in range(cases):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 5)):
            position, old, new = (int(n) for n in rng.integers((len(data), 9, 9)))
            changed[position : position + old] = rng.bytes(new)
        try:
            flaxmodels.read(bytes(changed))
        except CheckpointError:
            refused += 1
        except BaseException as error:
            raise AssertionError(f"case {case}") from error
    assert refused > cases / 3
