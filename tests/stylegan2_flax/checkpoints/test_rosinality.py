"""rosinality's layout: what is in it, that it is read and written bit for bit, and what it cannot hold."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

import stylegan2_flax as sg2
from stylegan2_flax.checkpoints import rosinality, save_rosinality, to_rosinality
from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.torch_files import read_torch

BLUR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
SQUARE = {"z_dim": 6, "w_dim": 6, "img_resolution": 8, "synthesis_kwargs": {"channel_base": 32, "channel_max": 6}}
"""A generator with mapping layers of one size, as the layout needs them; 6 channels at 4 px and 4 at 8 px."""

GENERATOR_SHAPES = {
    **{f"style.{i}.weight": (6, 6) for i in (1, 2)},
    **{f"style.{i}.bias": (6,) for i in (1, 2)},
    "input.input": (1, 6, 4, 4),
    "conv1.conv.weight": (1, 6, 6, 3, 3),
    "conv1.conv.modulation.weight": (6, 6),
    "conv1.conv.modulation.bias": (6,),
    "conv1.noise.weight": (1,),
    "conv1.activate.bias": (6,),
    "to_rgb1.conv.weight": (1, 3, 6, 1, 1),
    "to_rgb1.conv.modulation.weight": (6, 6),
    "to_rgb1.conv.modulation.bias": (6,),
    "to_rgb1.bias": (1, 3, 1, 1),
    "convs.0.conv.weight": (1, 4, 6, 3, 3),
    "convs.0.conv.blur.kernel": (4, 4),
    "convs.0.conv.modulation.weight": (6, 6),
    "convs.0.conv.modulation.bias": (6,),
    "convs.0.noise.weight": (1,),
    "convs.0.activate.bias": (4,),
    "convs.1.conv.weight": (1, 4, 4, 3, 3),
    "convs.1.conv.modulation.weight": (4, 6),
    "convs.1.conv.modulation.bias": (4,),
    "convs.1.noise.weight": (1,),
    "convs.1.activate.bias": (4,),
    "to_rgbs.0.upsample.kernel": (4, 4),
    "to_rgbs.0.conv.weight": (1, 3, 4, 1, 1),
    "to_rgbs.0.conv.modulation.weight": (4, 6),
    "to_rgbs.0.conv.modulation.bias": (4,),
    "to_rgbs.0.bias": (1, 3, 1, 1),
    "noises.noise_0": (1, 1, 4, 4),
    "noises.noise_1": (1, 1, 8, 8),
    "noises.noise_2": (1, 1, 8, 8),
}
DISCRIMINATOR_SHAPES = {
    "convs.0.0.weight": (4, 3, 1, 1),
    "convs.0.1.bias": (4,),
    "convs.1.conv1.0.weight": (4, 4, 3, 3),
    "convs.1.conv1.1.bias": (4,),
    "convs.1.conv2.0.kernel": (4, 4),
    "convs.1.conv2.1.weight": (6, 4, 3, 3),
    "convs.1.conv2.2.bias": (6,),
    "convs.1.skip.0.kernel": (4, 4),
    "convs.1.skip.1.weight": (6, 4, 1, 1),
    "final_conv.0.weight": (6, 7, 3, 3),
    "final_conv.1.bias": (6,),
    "final_linear.0.weight": (6, 96),
    "final_linear.0.bias": (6,),
    "final_linear.1.weight": (1, 6),
    "final_linear.1.bias": (1,),
}


def state_dict(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    for name in arrays:
        if name.endswith("kernel"):
            arrays[name] = BLUR * (4 if "convs.0.conv" in name or "to_rgbs" in name else 1)
    return arrays


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Any]:
    return {
        "g_ema": state_dict(GENERATOR_SHAPES, 1),
        "g": state_dict(GENERATOR_SHAPES, 2),
        "d": state_dict(DISCRIMINATOR_SHAPES, 3),
        "latent_avg": np.random.default_rng(4).standard_normal(6, np.float32),
    }


def assert_equal(arrays: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> None:
    assert arrays.keys() == others.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], others[name], strict=True, err_msg=name)


def as_mean(checkpoint: dict[str, Any], section: str) -> dict[str, np.ndarray]:
    return checkpoint[section] | ({"latent_avg": checkpoint["latent_avg"]} if section != "d" else {})


@pytest.mark.parametrize(("which", "section"), [("G_ema", "g_ema"), ("G", "g"), ("D", "d"), (None, "g_ema")])
def test_read_and_written_bit_for_bit(checkpoint, which, section):
    network = rosinality.read(checkpoint, which).build()
    assert_equal(to_rosinality(network), as_mean(checkpoint, section))


def test_places(checkpoint):
    """Where each array goes, as the facts on the layout have it; the rest of the names follow the same patterns."""
    theirs = checkpoint["g_ema"]
    ours = rosinality.read(checkpoint).arrays
    for name, place in {
        "style.2.weight": "mapping.fc1.weight",
        "input.input": "synthesis.b4.const",
        "conv1.conv.weight": "synthesis.b4.conv1.weight",
        "convs.0.conv.weight": "synthesis.b8.conv0.weight",
        "convs.1.conv.modulation.bias": "synthesis.b8.conv1.affine.bias",
        "convs.1.activate.bias": "synthesis.b8.conv1.bias",
        "convs.0.noise.weight": "synthesis.b8.conv0.noise_strength",
        "to_rgb1.bias": "synthesis.b4.torgb.bias",
        "to_rgbs.0.conv.weight": "synthesis.b8.torgb.weight",
        "noises.noise_0": "synthesis.b4.conv1.noise_const",
        "noises.noise_1": "synthesis.b8.conv0.noise_const",
        "noises.noise_2": "synthesis.b8.conv1.noise_const",
    }.items():
        np.testing.assert_array_equal(ours[place].ravel(), theirs[name].ravel(), err_msg=name)
    theirs, ours = checkpoint["d"], rosinality.read(checkpoint, "D").arrays
    for name, place in {
        "convs.0.1.bias": "b8.fromrgb.bias",
        "convs.1.conv1.0.weight": "b8.conv0.weight",
        "convs.1.conv2.1.weight": "b8.conv1.weight",
        "convs.1.skip.1.weight": "b8.skip.weight",
        "final_conv.0.weight": "b4.conv.weight",
        "final_linear.0.weight": "b4.fc.weight",
        "final_linear.1.bias": "b4.out.bias",
    }.items():
        np.testing.assert_array_equal(ours[place], theirs[name], err_msg=name)


def test_arguments(checkpoint):
    assert rosinality.read(checkpoint).init_kwargs == {
        "z_dim": 6,
        "c_dim": 0,
        "w_dim": 6,
        "img_resolution": 8,
        "img_channels": 3,
        "mapping_kwargs": {"num_layers": 2, "layer_features": 6, "lr_multiplier": 0.01},
        "synthesis_kwargs": {"channel_base": 32, "channel_max": 6},
    }
    assert rosinality.read(checkpoint, "D").init_kwargs == {
        "img_resolution": 8,
        "img_channels": 3,
        "architecture": "resnet",
        "channel_base": 32,
        "channel_max": 6,
        "epilogue_kwargs": {"mbstd_group_size": 4, "mbstd_num_channels": 1},
    }


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("generator", {}),
        ("generator", {"img_resolution": 4}),
        ("generator", {"img_resolution": 16, "img_channels": 1, "mapping_kwargs": {"num_layers": 1}}),
        ("discriminator", {}),
        ("discriminator", {"img_resolution": 4, "img_channels": 1}),
        ("discriminator", {"img_resolution": 8, "num_fp16_res": 2}),
    ],
)
def test_round_trip_of_networks(make, tmp_path, kind, changes):
    network = make(kind, **({**SQUARE, **changes} if kind == "generator" else changes))
    for name in ["file.npz"] if changes else ["file.npz", "file.safetensors"]:
        save_rosinality(network, tmp_path / name)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert_equal(sg2.to_state_dict(sg2.load(tmp_path / name)), sg2.to_state_dict(network))
        (tmp_path / name).unlink()


def test_same_images(make):
    network = make("generator", **SQUARE)
    z = np.random.default_rng(0).standard_normal((2, 6), np.float32)

    def images(network):
        graphdef, state = nnx.split(network)
        return jax.jit(lambda state: nnx.merge(graphdef, state)(z, truncation_psi=0.5))(state)

    np.testing.assert_array_equal(images(rosinality.read(to_rosinality(network)).build()), images(network))


def test_file_is_a_state_dict_for_torch(make, tmp_path):
    network = make("generator", **SQUARE)
    save_rosinality(network, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert {name: array.shape for name, array in arrays.items()} == {**GENERATOR_SHAPES, "latent_avg": (6,)}
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert_equal(arrays, to_rosinality(network))
    assert all(array.flags.writeable for array in to_rosinality(network).values())  # torch.from_numpy warns if not
    save_rosinality(network, tmp_path / "a.safetensors")
    assert_equal(load_file(tmp_path / "a.safetensors"), arrays)
    with pytest.raises(ValueError, match=r"\.pt, \.npz, \.safetensors files, not to '\.pkl'"):
        save_rosinality(network, tmp_path / "a.pkl")
    save_rosinality(network, tmp_path / "a.pt")
    content = read_torch((tmp_path / "a.pt").read_bytes())
    assert content.keys() == {"g_ema", "latent_avg"}
    assert_equal(content["g_ema"] | {"latent_avg": content["latent_avg"]}, arrays)


def test_what_torch_saves(checkpoint, writers, tmp_path, monkeypatch):
    """With and without optimiser state, in both of torch.save's layouts; parameters that share a storage."""
    arguments = writers.Called(writers.named("argparse", "Namespace"), (), {"size": 8, "lr": 0.002})
    moments = {
        "state": {0: {"step": 3, "exp_avg": np.ones((2, 2), np.float32)}},
        "param_groups": [{"betas": (0.0, 0.9)}],
    }
    training = {name: checkpoint[name] for name in ("g", "d", "g_ema")}
    training |= {"g_optim": moments, "d_optim": moments, "args": arguments, "ada_aug_p": 0.25}
    short = {"g_ema": checkpoint["g_ema"], "latent_avg": checkpoint["latent_avg"]}
    for content, save in (
        (checkpoint, writers.torch_zip),
        (checkpoint, writers.torch_legacy),
        (short, writers.torch_zip),
        (training, writers.torch_legacy),
    ):
        (tmp_path / "file").write_bytes(save(content))
        network = sg2.load(tmp_path / "file", "G_ema")
        expected = as_mean(checkpoint, "g_ema") | (
            {} if "latent_avg" in content else {"latent_avg": np.asarray(network.mapping.w_avg[...])}
        )
        assert_equal(to_rosinality(network), expected)


def flat(checkpoint: dict[str, Any], separator: str) -> dict[str, np.ndarray]:
    prefixed = {
        f"{section}{separator}{name}": array
        for section in ("g_ema", "g", "d")
        for name, array in checkpoint[section].items()
    }
    return prefixed | {"latent_avg": checkpoint["latent_avg"]}


@pytest.mark.parametrize("separator", [".", "/"])
def test_names_with_a_prefix(checkpoint, separator):
    for which, section in (("G_ema", "g_ema"), ("G", "g"), ("D", "d")):
        network = rosinality.read(flat(checkpoint, separator), which).build()
        assert_equal(to_rosinality(network), as_mean(checkpoint, section))


def test_which(checkpoint):
    with pytest.raises(CheckpointError, match="no network G: choose from G_ema, D"):
        rosinality.read({"g_ema": checkpoint["g_ema"], "d": checkpoint["d"]}, "G")
    with pytest.raises(CheckpointError, match="no network D: choose from G_ema, G"):
        rosinality.read(checkpoint["g"], "D")
    assert rosinality.read(checkpoint["g"], "G").kind == "generator"
    assert rosinality.read({"d": checkpoint["d"]}).kind == "discriminator"
    assert rosinality.read(checkpoint["d"]).kind == "discriminator"


def test_mean_latent_is_found_where_it_is_missing(checkpoint):
    generator = rosinality.read({"g_ema": checkpoint["g_ema"]}).build()
    again = rosinality.read({"g_ema": checkpoint["g_ema"], "latent_avg": None}).build()
    np.testing.assert_array_equal(generator.mapping.w_avg[...], again.mapping.w_avg[...])
    z = np.random.default_rng(0).standard_normal((20_000, 6), np.float32)
    ws = np.asarray(jax.jit(lambda mapping: mapping(z))(generator.mapping))[:, 0]
    np.testing.assert_allclose(generator.mapping.w_avg[...], ws.mean(0), atol=4 * ws.std() / 4096**0.5)


def test_forms_of_the_mean_latent(checkpoint, randomized):
    mean = checkpoint["latent_avg"]
    arrays = rosinality.read({"g": checkpoint["g"], "latent_avg": mean[None]}).arrays
    np.testing.assert_array_equal(arrays["mapping.w_avg"], mean)
    with pytest.raises(CheckpointError, match=r"w_avg must have shape \[6\], has \[7\]"):
        rosinality.read({"g": checkpoint["g"], "latent_avg": np.zeros(7, np.float32)}).build()
    with pytest.raises(CheckpointError, match="latent_avg should be an array of real numbers, but is of type str"):
        rosinality.read({"g": checkpoint["g"], "latent_avg": "text"})
    arguments = {**SQUARE, "mapping_kwargs": {"num_layers": 1, "w_avg_beta": None}}
    network = randomized(lambda: sg2.Generator(**arguments, rngs=nnx.Rngs(0)))
    assert "latent_avg" not in to_rosinality(network)


def test_noise_is_drawn_where_it_is_missing(checkpoint):
    without = {name: array for name, array in checkpoint["g"].items() if not name.startswith("noises.")}
    arrays = rosinality.read({"g": without}).arrays
    assert_equal(arrays, rosinality.read({"g": without}).arrays)
    noise = arrays["synthesis.b8.conv0.noise_const"]
    assert noise.shape == (8, 8)
    assert 0.7 < noise.std() < 1.3
    assert not np.array_equal(noise, arrays["synthesis.b8.conv1.noise_const"])


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("g", {"convs.1.activate.bias": None}, "missing convs.1.activate.bias$"),
        (
            "g",
            {"style.1.weight": None, "style.1.bias": None},
            "missing style.1.bias, style.1.weight; unexpected style.2",
        ),
        ("g", {"noises.noise_2": None}, "missing noises.noise_2$"),
        ("g", {"conv1.extra": np.zeros(1)}, "unexpected conv1.extra$"),
        ("g", {("a", 1): np.zeros(1)}, r"unexpected \('a', 1\)$"),
        ("g", {"input.input": np.zeros((6, 4, 4))}, r"input.input has the wrong shape \[6, 4, 4\]"),
        ("g", {"to_rgb1.bias": np.zeros((3,))}, r"to_rgb1.bias has the wrong shape \[3\]"),
        ("g", {"conv1.conv.weight": np.zeros((1, 6, 6))}, "conv1.weight has the wrong shape"),
        ("g", {"style.1.bias": np.zeros(5)}, "does not fit 6 inputs"),
        ("g", {"style.1.bias": [0.0] * 6}, "style.1.bias should be an array of real numbers, but is of type list"),
        ("g", {"style.1.bias": np.zeros(6, np.complex64)}, "real numbers, but is of type complex64"),
        ("g", {"style.1.weight": np.zeros((6, 20_000))}, "mapping network is 20000 wide"),
        (
            "g",
            {f"style.{i}.{part}": np.zeros(1) for i in range(3, 150) for part in ("weight", "bias")},
            "style.101.bias",
        ),
        ("g", {"convs.1.conv.weight": np.zeros((1, 5, 5, 3, 3), np.float32)}, "can be built: .* do not fit"),
        ("g", {"convs.1.conv.weight": np.zeros((1, 7, 7, 3, 3))}, "6 at 4 px, 7 at 8 px.* are not min"),
        ("g", {"convs.0.conv.blur.kernel": BLUR}, "blur.kernel is not the filter"),
        ("g", {"to_rgbs.0.upsample.kernel": np.ones((2, 2), np.float32)}, "upsample.kernel is not the filter"),
        ("d", {"convs.1.skip.0.kernel": BLUR[::-1] * 1.1}, "skip.0.kernel is not the filter"),
        ("d", {"convs.1.conv2.0.kernel": "text"}, "conv2.0.kernel is not the filter"),
        ("d", {"final_conv.0.weight": None}, "missing final_conv.0.weight$"),
        ("d", {"final_conv.0.weight": np.zeros((6, 5, 3, 3))}, "mbstd_num_channels"),
        ("d", {"convs.1.skip.1.weight": None}, "missing convs.1.skip.1.weight$"),
    ],
)
def test_files_that_do_not_fit(checkpoint, section, changes, message):
    arrays = {name: array for name, array in {**checkpoint[section], **changes}.items() if array is not None}
    with pytest.raises(CheckpointError, match=message):
        rosinality.read({section: arrays}).build()


def test_many_missing_names_are_not_all_listed(checkpoint):
    with pytest.raises(CheckpointError, match=r"missing (.*, ){7}to_rgb1.conv.modulation.bias and 2 more$"):
        rosinality.read({"g": {name: checkpoint["g"][name] for name in ("style.1.weight", "conv1.conv.weight")}})


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("generator", {"c_dim": 2}, "c_dim 0 only, not 2"),
        ("generator", {"w_dim": 5}, "z_dim 6, layer_features 5 and w_dim 5 must be equal"),
        ("generator", {"mapping_kwargs": {"layer_features": 7}}, "layer_features 7"),
        ("generator", {"mapping_kwargs": {"num_layers": 0}}, "at least one mapping layer"),
        ("generator", {"mapping_kwargs": {"lr_multiplier": 0.1}}, "lr_multiplier 0.01 only, not 0.1"),
        ("generator", {"mapping_kwargs": {"activation": "relu"}}, "activation 'lrelu' only, not 'relu'"),
        (
            "generator",
            {"synthesis_kwargs": {"channel_base": 32, "architecture": "resnet"}},
            "'skip' only, not 'resnet'",
        ),
        ("generator", {"synthesis_kwargs": {"channel_base": 32, "architecture": "orig"}}, "'skip' only, not 'orig'"),
        ("generator", {"synthesis_kwargs": {"channel_base": 32, "use_noise": False}}, "use_noise True only"),
        ("generator", {"synthesis_kwargs": {"channel_base": 32, "kernel_size": 1}}, "kernel_size 3 only"),
        ("generator", {"synthesis_kwargs": {"channel_base": 32, "resample_filter": [1, 2, 1]}}, "resample_filter"),
        ("generator", {"synthesis_kwargs": {"channel_base": 32, "conv_clamp": 256}}, "conv_clamp 256: drop_clamp=True"),
        ("discriminator", {"c_dim": 2}, "c_dim 0 only, not 2"),
        ("discriminator", {"architecture": "skip"}, "'resnet' only, not 'skip'"),
        ("discriminator", {"block_kwargs": {"activation": "relu"}}, "activation 'lrelu' only"),
        ("discriminator", {"epilogue_kwargs": {"mbstd_group_size": 8}}, "mbstd_group_size 4 only, not 8"),
        ("discriminator", {"epilogue_kwargs": {"mbstd_num_channels": 2}}, "mbstd_num_channels 1 only, not 2"),
        ("discriminator", {"conv_clamp": 256}, "conv_clamp 256: drop_clamp=True .* leaves it out"),
    ],
)
def test_networks_that_it_cannot_hold(randomized, kind, changes, message):
    build, usual = (sg2.Generator, SQUARE) if kind == "generator" else (sg2.Discriminator, {})
    network = randomized(lambda: build(**{**usual, **changes, "img_resolution": 4}, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=message):
        to_rosinality(network)


def test_clamp_can_be_left_out(make):
    network = make("generator", **{**SQUARE, "synthesis_kwargs": {"channel_base": 32, "conv_clamp": 256.0}})
    arrays = rosinality.read(to_rosinality(network, drop_clamp=True)).arrays
    assert_equal(arrays, sg2.to_state_dict(network))


def test_torch_reads_and_writes_it(checkpoint, make, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {
        name: {key: torch.from_numpy(array.copy()) for key, array in section.items()}
        for name, section in checkpoint.items()
        if isinstance(section, dict)
    }
    optimiser = torch.optim.Adam([torch.nn.Parameter(tensors["g"]["conv1.conv.weight"].clone())])
    extra = {"latent_avg": torch.from_numpy(checkpoint["latent_avg"].copy()), "g_optim": optimiser.state_dict()}
    for zipped in (True, False):
        torch.save({**tensors, **extra}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        assert_equal(to_rosinality(sg2.load(tmp_path / "a.pt", "G")), as_mean(checkpoint, "g"))

    network = make("generator", **SQUARE)
    save_rosinality(network, tmp_path / "b.npz")
    state = {name: torch.from_numpy(array) for name, array in np.load(tmp_path / "b.npz").items()}
    save_rosinality(network, tmp_path / "c.pt")
    written = torch.load(tmp_path / "c.pt", weights_only=True)
    assert_equal(
        {name: tensor.numpy() for name, tensor in written["g_ema"].items()},
        {k: state[k].numpy() for k in written["g_ema"]},
    )
    torch.save({"latent_avg": state.pop("latent_avg"), "g_ema": state}, tmp_path / "b.pt")
    assert written["g_ema"].keys() == state.keys()
    assert_equal(to_rosinality(sg2.load(tmp_path / "b.pt")), to_rosinality(network))
