"""Pickles of NVIDIA's PyTorch code: what is in them comes back bit for bit, however it was written."""

import json
import mmap
import sys
import tracemalloc

import jax
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax.checkpoints import nvidia_torch
from stylegan2_flax.checkpoints.network_data import CheckpointError

SYNTHESIS = {"channel_base": 128, "channel_max": 8}


@pytest.fixture(scope="module")
def networks(make):
    return {"G": make("generator", 1), "D": make("discriminator", 2), "G_ema": make("generator", 3)}


@pytest.fixture(scope="module")
def file(torch_writer, networks):
    return torch_writer.file(networks)


@pytest.mark.parametrize(("protocol", "which"), [(2, "G_ema"), (3, "G"), (4, "D"), (5, "G_ema")])
def test_round_trip(assert_holds, torch_writer, networks, protocol, which):
    data = nvidia_torch.read(torch_writer.file(networks, protocol), which)
    assert_holds(data, networks[which])
    assert data.init_kwargs == networks[which].init_kwargs


def test_same_images(torch_writer, make):
    network = make("generator")
    built = nvidia_torch.read(torch_writer.file({"G_ema": network})).build()

    @jax.jit
    def images(state):
        return nnx.merge(graphdef, state)(np.ones((2, 8), np.float32), truncation_psi=0.7)

    graphdef, state = nnx.split(network)
    np.testing.assert_array_equal(images(nnx.split(built)[1]), images(state))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("generator", {"c_dim": 3, "synthesis_kwargs": {"channel_base": 64, "architecture": "resnet"}}),
        ("generator", {"img_channels": 1, "synthesis_kwargs": {"channel_base": 64, "architecture": "orig"}}),
        ("generator", {"synthesis_kwargs": {"channel_base": 64, "use_noise": False, "conv_clamp": 256}}),
        ("discriminator", {"c_dim": 3, "mapping_kwargs": {"num_layers": 1}, "cmap_dim": 5}),
        ("discriminator", {"architecture": "skip", "epilogue_kwargs": {"mbstd_group_size": None}}),
        ("discriminator", {"architecture": "orig", "conv_clamp": 256, "num_fp16_res": 1}),
    ],
)
def test_variants(assert_same, torch_writer, make, kind, changes):
    network = make(kind, **changes)
    built = nvidia_torch.read(torch_writer.file({"D" if kind == "discriminator" else "G_ema": network})).build()
    assert_same(built, network)
    assert built.init_kwargs == network.init_kwargs


def test_which(assert_holds, torch_writer, writers, networks, file):
    assert_holds(nvidia_torch.read(file), networks["G_ema"])
    without_ema = torch_writer.file({"G": networks["G"], "D": networks["D"]})
    assert_holds(nvidia_torch.read(without_ema), networks["G"])
    with pytest.raises(CheckpointError, match="no network G_ema: choose from G, D"):
        nvidia_torch.read(without_ema, "G_ema")
    alone = writers.pickled(torch_writer.network(networks["D"]))
    assert_holds(nvidia_torch.read(alone), networks["D"])
    with pytest.raises(CheckpointError, match="no network G_ema: choose from D"):
        nvidia_torch.read(alone, "G_ema")


def test_memory_map(assert_holds, tmp_path, file, networks):
    assert_holds(nvidia_torch.read(mapped(tmp_path / "network.pkl", file), "D"), networks["D"])


def mapped(path, content):
    path.write_bytes(content)
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def test_recognises(file, writers):
    assert nvidia_torch.recognises(file[:65536])
    assert not nvidia_torch.recognises(writers.torch_legacy({"a": np.zeros(3, np.float32)}))
    assert not nvidia_torch.recognises(b"torch_utils.persistence")


@pytest.mark.parametrize("layout", ["torch_zip", "torch_legacy"])
def test_networks_that_torch_saved_whole(assert_holds, saved_writer, writers, networks, layout, tmp_path):
    """PTI's tuned generator is one alone."""
    save = getattr(writers, layout)
    data = save(saved_writer.network(networks["G"]))
    assert nvidia_torch.recognises_saved(data[:65536])
    assert not nvidia_torch.recognises(data[:65536])
    assert_holds(nvidia_torch.read_saved(data), networks["G"])
    (tmp_path / "model.pt").write_bytes(data)
    assert sg2.load(tmp_path / "model.pt").init_kwargs == networks["G"].init_kwargs
    several = save({name: saved_writer.network(network) for name, network in networks.items()})
    assert_holds(nvidia_torch.read_saved(several, "D"), networks["D"])
    with pytest.raises(CheckpointError, match=r"cut short|damaged|missing"):
        nvidia_torch.read_saved(data[: len(data) // 2])


def test_nothing_is_imported_or_run(file):
    before = set(sys.modules)
    nvidia_torch.read(file)
    assert {"dnnlib", "torch_utils", "torch_utils.persistence"}.isdisjoint(sys.modules)
    assert {name for name in set(sys.modules) - before if name.startswith(("torch", "tensorflow"))} == set()


def test_half_precision_and_strides(torch_writer, writers, make):
    network = make("generator")
    arrays = sg2.to_state_dict(network)
    weight, bias = arrays["synthesis.b8.conv0.weight"], arrays["synthesis.b8.conv0.bias"]
    storage = writers.Storage(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)), "Float")  # channels last
    _, channels, size, _ = weight.shape
    strides = (channels * size**2, 1, size * channels, channels)
    changed = {
        "synthesis.b8.conv0.weight": writers.tensor_of(torch_writer.storage(storage), 0, weight.shape, strides),
        "synthesis.b8.conv0.bias": torch_writer.tensor(bias.astype(np.float16)),
    }
    root = torch_writer.nested(
        "Generator", {**arrays, **changed}, {"_init_kwargs": writers.EasyDict(network.init_kwargs)}
    )
    built = nvidia_torch.read(torch_writer.file({"G": root})).arrays
    np.testing.assert_array_equal(built["synthesis.b8.conv0.weight"], weight, strict=True)
    np.testing.assert_array_equal(built["synthesis.b8.conv0.bias"], bias.astype(np.float16), strict=True)


def test_arguments_by_position(torch_writer, writers, make):
    network = make("generator")
    kwargs = network.init_kwargs
    by_position = tuple(kwargs.pop(name) for name in ("z_dim", "c_dim", "w_dim", "img_resolution"))
    root = torch_writer.network(network, _init_args=by_position, _init_kwargs=writers.EasyDict(kwargs))
    assert nvidia_torch.read(torch_writer.file({"G": root})).init_kwargs == network.init_kwargs
    root = torch_writer.network(network, _init_args=(1,) * 8)
    with pytest.raises(CheckpointError, match="more arguments than one has"):
        nvidia_torch.read(torch_writer.file({"G": root}))


def test_stylegan3_repository(torch_writer, writers, make):
    """Its generator takes the synthesis network's arguments beside its own; defaults stand in the layers only."""
    network = make("generator", img_resolution=16, synthesis_kwargs={**SYNTHESIS, "conv_clamp": 256})
    kwargs = network.init_kwargs
    kwargs |= kwargs.pop("synthesis_kwargs") | {"fused_modconv_default": "inference_only"}
    del kwargs["conv_clamp"]
    root = torch_writer.network(network, _init_kwargs=writers.EasyDict(kwargs))
    modules = root.args[0]["state"]["_modules"]
    modules["mapping"].args[0]["state"]["w_avg_beta"] = 0.998
    blocks = modules["synthesis"].args[0]["state"]["_modules"]
    for name in ("b8", "b16"):
        blocks[name].args[0]["state"]["use_fp16"] = True
        blocks[name].args[0]["state"]["_modules"]["conv1"].args[0]["state"]["_init_kwargs"]["conv_clamp"] = 256
    arguments = nvidia_torch.read(torch_writer.file({"G": root})).init_kwargs
    assert arguments["synthesis_kwargs"] == {
        "channel_base": 128,
        "channel_max": 8,
        "conv_clamp": 256,
        "num_fp16_res": 2,
    }
    assert arguments["mapping_kwargs"] == {"num_layers": 2, "w_avg_beta": 0.998}


def test_options_that_change_no_result(torch_writer, writers, make):
    network = make("discriminator")
    kwargs = network.init_kwargs
    kwargs["block_kwargs"] = writers.EasyDict(freeze_layers=3, fp16_channels_last=True, activation="lrelu")
    kwargs["conv_clamp"] = np.float64(256)
    root = torch_writer.network(network, _init_kwargs=writers.EasyDict(kwargs))
    arguments = nvidia_torch.read(torch_writer.file({"D": root})).init_kwargs
    assert arguments["block_kwargs"] == {"activation": "lrelu"}
    assert arguments["conv_clamp"] == 256.0
    json.dumps(arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magnitude_ema_beta": 0.99}, "synthesis_kwargs has 'magnitude_ema_beta'"),
        ({"mapping_kwargs": {"normalise": False}}, "mapping_kwargs has 'normalise'"),
        ({"mapping_kwargs": 5}, "mapping_kwargs is no dictionary"),
        ({"z_dim": "eight"}, "value for z_dim"),
        ({"img_resolution": 2**40}, "img_resolution must be"),
        ({"w_dim": 13}, "do not fit"),
        ({"mapping_kwargs": {"num_layers": 10**9}}, "num_layers"),
        ({"synthesis_kwargs": {"channel_base": 128, "channel_max": 8, "kernel_size": 2**20 - 1}}, "kernel_size"),
        ({"synthesis_kwargs": {"channel_base": 128, "channel_max": 8, "resample_filter": [1, -1]}}, "resample_filter"),
    ],
)
def test_options_that_cannot_be_honoured(torch_writer, writers, make, changes, message):
    network = make("generator")
    root = torch_writer.network(network, _init_kwargs=writers.EasyDict({**network.init_kwargs, **changes}))
    with pytest.raises(CheckpointError, match=message):
        nvidia_torch.read(torch_writer.file({"G": root})).build()


@pytest.mark.parametrize("layer", ["L0_36_512", "input"])
def test_stylegan3(torch_writer, layer):
    arrays = {"mapping.w_avg": np.zeros(3, np.float32), f"synthesis.{layer}.weight": np.zeros(3, np.float32)}
    root = torch_writer.nested("Generator", arrays, {})
    with pytest.raises(CheckpointError, match=r"StyleGAN3 generator \(alias-free\)"):
        nvidia_torch.read(torch_writer.file({"G_ema": root}))


def test_other_networks(torch_writer, writers):
    root = torch_writer.nested("TriPlaneGenerator", {}, {})
    with pytest.raises(CheckpointError, match="'TriPlaneGenerator': only StyleGAN2's"):
        nvidia_torch.read(torch_writer.file({"G_ema": root}))
    for value in ({"weights": 3}, [1, 2], None, {"G": 3}):
        with pytest.raises(CheckpointError, match="no G_ema, G or D"):
            nvidia_torch.read(writers.pickled(value))


def test_network_within_itself(torch_writer):
    child = torch_writer.nested("Layer", {"weight": np.zeros(3, np.float32)}, {})
    twice = torch_writer.module("Generator", {}, {"a": child, "b": child}, {})
    with pytest.raises(CheckpointError, match="stands in two places"):
        nvidia_torch.read(torch_writer.file({"G": twice}))
    deep = child
    for _ in range(12):
        deep = torch_writer.module("Generator", {}, {"a": deep}, {})
    with pytest.raises(CheckpointError, match="one contains itself"):
        nvidia_torch.read(torch_writer.file({"G": deep}))


def test_more_than_any_network_has(torch_writer):
    """A small file may refer to one large dictionary from everywhere, so each is kept small."""
    arrays = {f"w{i}": np.zeros(1, np.float32) for i in range(300)}
    with pytest.raises(CheckpointError, match="has no _parameters, or too many"):
        nvidia_torch.read(torch_writer.file({"G": torch_writer.nested("Generator", arrays, {})}))
    root = torch_writer.nested("Generator", {}, {"_init_kwargs": dict.fromkeys(map(str, range(300)))})
    with pytest.raises(CheckpointError, match="more arguments than one has"):
        nvidia_torch.read(torch_writer.file({"G": root}))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(1, (12,), (1,)), (0, (12,), (2,)), (0, (12,), (-1,)), (-1, (12,), (1,)), (0, (12,), ())],
)
def test_tensors_out_of_bounds(torch_writer, writers, make, offset, shape, strides):
    network = make("generator")
    storage = torch_writer.storage(writers.Storage(np.zeros(12, np.float32), "Float"))
    bad = writers.tensor_of(storage, offset, shape, strides)
    arrays = {**sg2.to_state_dict(network), "mapping.w_avg": bad}
    root = torch_writer.nested("Generator", arrays, {"_init_kwargs": writers.EasyDict(network.init_kwargs)})
    with pytest.raises(CheckpointError, match=r"tensor|array's"):
        nvidia_torch.read(torch_writer.file({"G": root}))


def test_small_file_that_claims_gigabytes(torch_writer, writers):
    """Tensors that repeat one element: the views are free, but a network of them would not be."""
    storage = torch_writer.storage(writers.Storage(np.zeros(1, np.float32), "Float"))
    arrays = {f"w{i}": writers.tensor_of(storage, 0, (2**14, 2**14), (0, 0)) for i in range(4)}
    root = torch_writer.nested("Generator", arrays, {})
    with pytest.raises(CheckpointError, match="claim more than twice"):
        nvidia_torch.read(torch_writer.file({"G": root}))


def test_reading_copies_nothing(torch_writer):
    arrays = {f"w{i}": np.ones((500, 500), np.float32) for i in range(4)}
    file = torch_writer.file({name: torch_writer.nested("Generator", arrays, {}) for name in ("G", "D", "G_ema")})
    tracemalloc.start()
    data = nvidia_torch.read(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.arrays.keys() == arrays.keys()
    assert peak < 0.05 * len(file)


@pytest.mark.slow
def test_config_f_at_1024(assert_same, torch_writer, randomized, tmp_path):
    """30 million parameters, as NVIDIA's networks of faces have."""
    network = randomized(lambda: sg2.Generator(mapping_kwargs={"num_layers": 8}, rngs=nnx.Rngs(0)))
    built = nvidia_torch.read(mapped(tmp_path / "network.pkl", torch_writer.file({"G_ema": network}))).build()
    assert_same(built, network)
    parameters = jax.tree.leaves(nnx.state(built, nnx.Param))
    assert sum(leaf.size for leaf in parameters) == 30_370_060
    assert isinstance(built, sg2.Generator)
    images = built(jax.random.normal(jax.random.key(0), (1, 512)), truncation_psi=0.7)
    assert images.shape == (1, 1024, 1024, 3)
    assert bool(np.isfinite(images).all())
