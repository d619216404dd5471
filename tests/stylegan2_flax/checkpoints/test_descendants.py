"""Files of the projects that build on rosinality's code: the generator in them is found under their names."""

import re
from collections.abc import Callable

import numpy as np
import pytest

import stylegan2_flax as sg2
from stylegan2_flax.checkpoints import rosinality, to_rosinality
from stylegan2_flax.checkpoints.network_data import CheckpointError

SQUARE = {"z_dim": 6, "w_dim": 6, "img_resolution": 8, "synthesis_kwargs": {"channel_base": 32, "channel_max": 6}}
LAYERS = ("conv1", "convs.0", "convs.1")
BASICSR = {
    **{f"{layer}.noise.weight": f"style_{layer}.weight" for layer in LAYERS},
    **{f"{layer}.activate.bias": f"style_{layer}.activate.bias" for layer in LAYERS},
    "input.input": "constant_input.weight",
}
MMGENERATION = {"input.input": "constant_input.input"}


@pytest.fixture(scope="module")
def network(make):
    return make("generator", **SQUARE)


@pytest.fixture(scope="module")
def arrays(network):
    arrays = to_rosinality(network)
    del arrays["latent_avg"]
    return arrays


@pytest.fixture(scope="module")
def mean(network):
    return to_rosinality(network)["latent_avg"]


@pytest.fixture(scope="module")
def expected(arrays, mean):
    return rosinality.read({"g_ema": arrays, "latent_avg": mean}).build()


def in_basicsr(name: str) -> str:
    if name in BASICSR:
        return BASICSR[name]
    name = re.sub(r"^(conv1|convs\.\d+)\.conv\.", r"style_\1.modulated_conv.", name)
    name = re.sub(r"^style\.", "style_mlp.", re.sub(r"^(to_rgb.*)\.conv\.", r"\1.modulated_conv.", name))
    return name.replace("noise_", "noise").replace("blur.kernel", "smooth.kernel")


def in_mmgeneration(name: str) -> str:
    """An array is named after its module, and `_orig` where it is scaled by its fan-in; noise lies at the top."""
    if name in MMGENERATION:
        return MMGENERATION[name]
    name = re.sub(r"^style\.(\d+)\.weight$", r"style_mapping.\1.linear.weight_orig", name)
    name = re.sub(r"^style\.(\d+)\.bias$", r"style_mapping.\1.bias", name)
    name = re.sub(r"\.modulation\.weight$", ".style_modulation.linear.weight_orig", name)
    name = name.replace(".modulation.bias", ".style_modulation.bias").replace(".noise.weight", ".noise_injector.weight")
    return re.sub(r"^noises\.noise_", "injected_noise_", re.sub(r"\.conv\.weight$", ".conv.weight_orig", name))


def prefixed(arrays, prefix, rename: Callable[[str], str] = str):
    return {prefix + rename(name): array for name, array in arrays.items()}


def files(arrays, mean):
    encoder = {"encoder.input_layer.0.weight": np.zeros((2, 3, 3, 3), "f4"), "encoder.body.0.bias": np.zeros(2, "f4")}
    tiled = np.tile(mean, (4, 1))
    psp = {"state_dict": encoder | prefixed(arrays, "decoder.")}
    mmgeneration = prefixed(arrays, "generator.", in_mmgeneration)
    degraded = {"conv_body_first.0.weight": np.zeros((1, 1), "f4"), "final_conv.0.weight": np.zeros((2, 2, 3, 3), "f4")}
    restorer = degraded | prefixed(arrays, "stylegan_decoder.", in_basicsr)
    stylization = {"style.1.weight": np.zeros((2, 2), "f4"), "res.0.conv.weight": np.zeros((1, 2, 2, 3, 3), "f4")}
    return {
        "DataParallel": {"g_ema": prefixed(arrays, "module."), "latent_avg": mean},
        "DataParallel, bare": prefixed(arrays, "module.") | {"latent_avg": mean},
        "pSp": {**psp, "latent_avg": tiled, "opts": {"output_size": 8}},
        "pSp into W": {**psp, "latent_avg": mean[None]},
        "pSp, DataParallel": {"state_dict": prefixed(psp["state_dict"], "module."), "latent_avg": mean},
        "BasicSR": {"params_ema": prefixed(arrays, "", in_basicsr), "latent_avg": mean},
        "BasicSR, params": {"params": prefixed(arrays, "", in_basicsr), "latent_avg": mean},
        "GFPGAN": {"params_ema": restorer, "latent_avg": mean},
        "GFPGAN, bare": restorer | {"latent_avg": mean},
        "MMGeneration": {
            "meta": {"epoch": 1},
            "state_dict": mmgeneration
            | prefixed(arrays, "generator_ema.", in_mmgeneration)
            | {"generator_ema.w_avg": mean},
        },
        "MMagic": mmgeneration | prefixed(arrays | {"w_avg": mean}, "generator_ema.module.", in_mmgeneration),
        "DualStyleGAN": {"g_ema": prefixed(arrays, "generator.") | stylization, "latent_avg": mean},
        "VToonify": {
            "g_ema": prefixed(prefixed(arrays, "generator.") | stylization, "generator."),
            "latent_avg": mean,
        },
        "optimizer beside": {
            "g_ema": arrays,
            "latent_avg": mean,
            "g_optim": {"state": {0: {"exp_avg": np.zeros(2, "f4")}}},
        },
    }


NAMES = tuple(files({"input.input": np.zeros(1)}, np.zeros(6, "f4")))


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_in_files_of_other_projects_is_loaded_bit_for_bit(
    writers, expected, arrays, mean, assert_same, tmp_path, name
):
    (tmp_path / "file.pt").write_bytes(writers.torch_zip(files(arrays, mean)[name]))
    assert_same(sg2.load(tmp_path / "file.pt"), expected)


def test_a_restorer_s_own_last_layers_are_no_discriminator(arrays, mean):
    with pytest.raises(CheckpointError, match=r"no network D: choose from G_ema$"):
        rosinality.read(files(arrays, mean)["GFPGAN"], "D")


@pytest.mark.parametrize("name", ["DataParallel, bare", "MMagic"])
def test_names_of_other_projects_are_read_from_safetensors_too(arrays, mean, tmp_path, name):
    from safetensors.numpy import save_file

    save_file(files(arrays, mean)[name], tmp_path / "file.safetensors")
    np.testing.assert_array_equal(sg2.load(tmp_path / "file.safetensors").mapping.w_avg[...], mean)


def test_the_two_generators_of_one_file_are_told_apart(arrays, mean):
    other = {name: array if name.endswith("kernel") else array + 1 for name, array in arrays.items()}
    content = {
        "state_dict": prefixed(arrays, "generator_ema.", in_mmgeneration)
        | prefixed(other, "generator.", in_mmgeneration),
        "latent_avg": mean,
    }
    ours = "synthesis.b8.conv1.bias"
    assert (rosinality.read(content, "G").arrays[ours] == rosinality.read(content, "G_ema").arrays[ours] + 1).all()


@pytest.mark.parametrize("project", ["BasicSR", "MMGeneration"])
def test_discriminators_of_other_projects_are_loaded_bit_for_bit(make, project):
    network = make("discriminator", epilogue_kwargs={"mbstd_group_size": 4})
    arrays = to_rosinality(network)
    if project == "BasicSR":
        content = {"params": {re.sub(r"^convs\.", "conv_body.", name): array for name, array in arrays.items()}}
    else:

        def renamed(name):
            name = re.sub(r"^(final_linear\.\d)\.weight$", r"\1.linear.weight_orig", name)
            return re.sub(r"\.weight$", ".conv.weight_orig", name)

        content = {"state_dict": prefixed(arrays, "discriminator.", renamed)}
    read = to_rosinality(rosinality.read(content, "D").build())
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dwt.ll": np.zeros((2, 2), "f4")}, "a SWAGAN.*use that project's own code"),
        ({"input.input": np.zeros((1, 6, 4, 2), "f4")}, "not square .* as StyleGAN-Human's"),
    ],
)
def test_relatives_with_the_same_names_are_named(writers, arrays, tmp_path, changes, message):
    (tmp_path / "file.pt").write_bytes(writers.torch_zip({"g_ema": arrays | changes}))
    with pytest.raises(CheckpointError, match=message):
        sg2.load(tmp_path / "file.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"GAN": {"S.net.0.weight": np.zeros((2, 2), "f4"), "G.blocks.0.conv1.weight": np.zeros(1, "f4")}},
            "lucidrains'",
        ),
        ({"G_ema": {"synthesis.L0_36_512.weight": np.zeros(1, "f4")}}, "a StyleGAN3"),
        ({"params_ema": {"stylegan_decoder.style_conv1.bias": np.zeros(1, "f4")}}, "GFPGAN's clean version"),
    ],
)
def test_projects_that_are_no_stylegan2_are_named(writers, tmp_path, content, message):
    (tmp_path / "file.pt").write_bytes(writers.torch_zip(content))
    with pytest.raises(CheckpointError, match=message):
        sg2.load(tmp_path / "file.pt")


def test_a_mean_latent_that_differs_between_layers_is_refused(arrays, mean):
    with pytest.raises(CheckpointError, match="differs from layer to layer"):
        rosinality.read({"g_ema": arrays, "latent_avg": np.stack([mean, mean + 1])})
