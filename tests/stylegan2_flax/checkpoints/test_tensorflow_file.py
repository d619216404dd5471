"""A pickle that NVIDIA's program wrote under TensorFlow 1.15.5, and what its networks computed there."""

import lzma
from pathlib import Path

import numpy as np
import pytest

import stylegan2_flax as sg2

FOLDER = Path(__file__).with_name("tensorflow")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tensorflow") / "network.pkl"
    path.write_bytes(lzma.decompress((FOLDER / "ada_tf.pkl.xz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def generator(path):
    return sg2.load(path, "G_ema")


@pytest.fixture(scope="module")
def expected():
    with np.load(FOLDER / "ada_tf.G_ema.npz") as file:
        return dict(file)


def test_the_latents_are_those_of_tensorflow(generator, expected, relative_error):
    assert relative_error(generator.mapping(expected["z"]), expected["ws"]) < 4e-6


@pytest.mark.parametrize(
    ("name", "psi", "cutoff"), [("img_const", 1, None), ("img_psi7", 0.7, None), ("img_psi7cut", 0.5, 3)]
)
def test_the_images_are_those_of_tensorflow(generator, expected, relative_error, name, psi, cutoff):
    images = generator(expected["z"], None, psi, cutoff, "const")
    assert relative_error(images.transpose(0, 3, 1, 2), expected[name]) < 4e-6


@pytest.mark.parametrize(("name", "noise_mode"), [("img_r", "const"), ("img_none", "none")])
def test_images_of_another_latent_for_each_layer_are_those_of_tensorflow(
    generator, expected, relative_error, name, noise_mode
):
    images = generator.synthesis(expected["wsr"], noise_mode)
    assert relative_error(images.transpose(0, 3, 1, 2), expected[name]) < 4e-6


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_the_logits_are_those_of_tensorflow(path, relative_error, batch):
    with np.load(FOLDER / "ada_tf.D.npz") as file:
        images, logits = file[f"x{batch}"].transpose(0, 2, 3, 1), file[f"l{batch}"]
    assert relative_error(sg2.load(path, "D")(images), logits) < 4e-6
