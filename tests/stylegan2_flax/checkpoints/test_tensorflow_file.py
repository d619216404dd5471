"""A pickle that NVIDIA's program wrote under TensorFlow 1.15.5, and what its networks computed there."""

import lzma
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import stylegan2_flax as sg2

FOLDER = Path(__file__).with_name("tensorflow")


@partial(jax.jit, static_argnames="cutoff")
def latents_of(mapping, z, psi=1.0, cutoff=None):
    return mapping(z, None, psi, cutoff)


@partial(jax.jit, static_argnames="noise_mode")
def images_of(synthesis, ws, noise_mode):
    return synthesis(ws, noise_mode).transpose(0, 3, 1, 2)


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
    assert relative_error(latents_of(generator.mapping, expected["z"]), expected["ws"]) < 4e-6


@pytest.mark.parametrize(
    ("name", "psi", "cutoff"), [("img_const", 1.0, None), ("img_psi7", 0.7, None), ("img_psi7cut", 0.5, 3)]
)
def test_the_images_are_those_of_tensorflow(generator, expected, relative_error, name, psi, cutoff):
    ws = latents_of(generator.mapping, expected["z"], psi, cutoff)
    assert relative_error(images_of(generator.synthesis, ws, "const"), expected[name]) < 4e-6


@pytest.mark.parametrize(("name", "noise_mode"), [("img_r", "const"), ("img_none", "none")])
def test_images_of_another_latent_for_each_layer_are_those_of_tensorflow(
    generator, expected, relative_error, name, noise_mode
):
    assert relative_error(images_of(generator.synthesis, expected["wsr"], noise_mode), expected[name]) < 4e-6


@pytest.mark.parametrize("batch", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2)), 4])
def test_the_logits_are_those_of_tensorflow(path, relative_error, batch):
    with np.load(FOLDER / "ada_tf.D.npz") as file:
        images, logits = file[f"x{batch}"].transpose(0, 2, 3, 1), file[f"l{batch}"]
    discriminator = sg2.load(path, "D")
    assert relative_error(jax.jit(lambda network, images: network(images))(discriminator, images), logits) < 4e-6
