"""Files of pSp, e4e and ReStyle, written as torch.save writes them: the encoder and the generator of one file."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.inversion import from_state_dict, load_arcface, load_encoder


def prefixed(arrays, prefix):
    return {prefix + name: array for name, array in arrays.items()}


@pytest.fixture(scope="module")
def decoder(generator):
    arrays = sg2.to_rosinality(generator)
    del arrays["latent_avg"]
    return prefixed(arrays, "decoder.")


@pytest.fixture(scope="module")
def single_style(single_style_arrays):
    return from_state_dict(single_style_arrays, encoder_type="SingleStyleCodeEncoder", num_ws=4).network


@pytest.fixture
def written(writers, tmp_path):
    def write(content, name="encoder.pt") -> Path:
        (tmp_path / name).write_bytes(writers.torch_zip(content))
        return tmp_path / name

    return write


def namespace(writers, options):
    """An argparse.Namespace, as it stands in a pickle."""
    return writers.Called(writers.named("argparse", "Namespace"), (), vars(argparse.Namespace(**options)))


def assert_same_arrays(network, other):
    for (path, array), (_, theirs) in zip(
        nnx.to_flat_state(nnx.state(network)), nnx.to_flat_state(nnx.state(other)), strict=True
    ):
        np.testing.assert_array_equal(array[...], theirs[...], err_msg=str(path))


def assert_is_the_generator(path, generator):
    loaded, ours = sg2.to_state_dict(sg2.load(path)), sg2.to_state_dict(generator)
    for name, array in ours.items():
        np.testing.assert_allclose(loaded[name], array, err_msg=name)


@pytest.mark.parametrize("shape", [(4, 512), (1, 512)])
def test_one_file_gives_the_encoder_and_the_generator(
    writers, written, single_style_arrays, single_style, decoder, generator, average, shape
):
    options = {"encoder_type": "SingleStyleCodeEncoder", "stylegan_size": 8, "start_from_latent_avg": True}
    content = {
        "state_dict": prefixed(single_style_arrays, "encoder.") | decoder,
        "latent_avg": np.broadcast_to(average, shape),
        "opts": namespace(writers, options) if shape == (4, 512) else options,
    }
    path = written(content)
    encoder = load_encoder(path)
    assert_same_arrays(encoder.network, single_style)
    assert (encoder.num_ws, encoder.size, encoder.image_channels, encoder.in_rounds) == (4, (256, 256), 3, False)
    assert encoder.latent_avg is not None
    np.testing.assert_array_equal(encoder.latent_avg[...], np.tile(average, (4, 1)))
    assert_is_the_generator(path, generator)


def test_cars_are_wide_and_nothing_is_added_where_codes_do_not_start_from_the_mean(
    written, single_style_arrays, decoder, average
):
    options = {
        "encoder_type": "BackboneEncoderUsingLastLayerIntoW",
        "dataset_type": "cars_encode",
        "output_size": 8,
        "start_from_latent_avg": False,
    }
    arrays = prefixed(prefixed(single_style_arrays, "encoder.") | decoder, "module.")
    encoder = load_encoder(written({"state_dict": arrays, "latent_avg": average, "opts": options}))
    assert encoder.latent_avg is None
    assert encoder.size == (192, 256)


@pytest.fixture
def restyle(written, restyle_arrays, decoder, average):
    """A file, and its encoder."""
    more = {"encoder.latlayer1.weight": np.zeros((2, 2), "f4")}
    options = {"encoder_type": "ResNetProgressiveBackboneEncoder", "output_size": 8, "start_from_latent_avg": True}
    arrays = prefixed(restyle_arrays, "encoder.") | decoder | more
    path = written({"state_dict": arrays, "latent_avg": np.tile(average, (4, 1)), "opts": options})
    return path, load_encoder(path)


@pytest.fixture(scope="module")
def restyle_network(restyle_arrays):
    return from_state_dict(restyle_arrays, encoder_type="ResNetProgressiveBackboneEncoder", num_ws=4)


def test_a_file_of_restyle_is_enough_to_encode_in_rounds_and_may_hold_more(
    restyle, restyle_network, generator, average
):
    path, encoder = restyle
    assert (encoder.num_ws, encoder.size, encoder.image_channels, encoder.in_rounds) == (4, (256, 256), 3, True)
    assert_same_arrays(encoder.network, restyle_network.network)
    np.testing.assert_array_equal(encoder.latent_avg[...], np.tile(average, (4, 1)))
    assert_is_the_generator(path, generator)


@pytest.mark.slow
def test_an_encoder_from_a_file_of_restyle_encodes(restyle, restyle_network, draw, average):
    path, encoder = restyle
    images = np.random.default_rng(0).uniform(-1, 1, (1, 256, 256, 3)).astype(np.float32)
    drawn = np.kron(draw(np.tile(average, (1, 4, 1))), np.ones((1, 32, 32, 1), np.float32))
    expected = np.asarray(restyle_network(np.concatenate([images, drawn], axis=-1))) + average
    assert np.abs(expected - average).max() > 1e-3
    np.testing.assert_allclose(encoder(images, sg2.load(path), rounds=1), expected, rtol=1e-5, atol=1e-5)


def test_a_file_of_restyle_may_not_hold_less(written, restyle_arrays, average):
    arrays = {name: array for name, array in restyle_arrays.items() if name != "conv1.weight"}
    options = {"encoder_type": "ResNetProgressiveBackboneEncoder"}
    path = written({"state_dict": prefixed(arrays, "encoder."), "latent_avg": average, "opts": options})
    with pytest.raises(
        ValueError, match=r"encoder\.pt: .* ResNetProgressiveBackboneEncoder .*: missing conv1\.weight$"
    ):
        load_encoder(path)


ENCODER = {"encoder.input_layer.0.weight": np.zeros((64, 3, 3, 3), "f4")}
STYLES = {f"encoder.styles.{i}.linear.bias": np.zeros(512, "f4") for i in range(4)}
DECODER = {f"decoder.to_rgbs.{i}.bias": np.zeros((1, 3, 1, 1), "f4") for i in range(2)}
OPTIONS = {"encoder_type": "Encoder4Editing", "start_from_latent_avg": True}
MEAN = np.zeros((4, 512), "f4")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "no checkpoint of pSp, e4e or ReStyle, which have a state_dict$"),
        ({"g_ema": {}, "opts": OPTIONS}, "which have a state_dict: it holds g_ema, opts"),
        ({"state_dict": ENCODER, "latent_avg": MEAN}, "no opts, .* give its arrays to from_state_dict"),
        ({"state_dict": DECODER, "opts": OPTIONS}, r"holds no encoder, .* get the project's whole file"),
        ({"state_dict": ENCODER, "opts": {}}, "its encoder is of type None: those that can be read are Gradual"),
        ({"state_dict": ENCODER, "opts": {"encoder_type": "Other"}}, "of type 'Other': those that can be read are"),
        ({"state_dict": ENCODER, "opts": OPTIONS}, "start from latent_avg, which it does not hold"),
        ({"state_dict": ENCODER, "opts": OPTIONS, "latent_avg": MEAN[:, :9]}, r"shape \[l, 512\], has \[4, 9\]"),
        (
            {"state_dict": ENCODER, "opts": OPTIONS, "latent_avg": MEAN + np.nan},
            "latent_avg is of no use: there is NaN",
        ),
        (
            {"state_dict": ENCODER | STYLES | DECODER, "opts": OPTIONS, "latent_avg": MEAN},
            r"different numbers of latents \(4 of the encoder, 6 of the generator, 4 of latent_avg\): get",
        ),
        (
            {"state_dict": ENCODER | STYLES, "opts": OPTIONS | {"stylegan_size": 1024}, "latent_avg": MEAN},
            r"\(18 of opts\.stylegan_size, 4 of the encoder, 4 of latent_avg\)",
        ),
        (
            {"state_dict": ENCODER | STYLES, "opts": OPTIONS | {"stylegan_size": 100}, "latent_avg": MEAN},
            "name a generator of 100 px, which is no power of two",
        ),
        (
            {"state_dict": ENCODER, "opts": {"encoder_type": "SingleStyleCodeEncoder"}},
            "nothing in it tells the number of latents",
        ),
        (
            {"state_dict": ENCODER | STYLES, "opts": OPTIONS, "latent_avg": MEAN},
            r"not those of Encoder4Editing .*missing",
        ),
    ],
)
def test_files_that_are_no_encoder_s_are_refused(written, content, message):
    path = written(content)
    with pytest.raises(ValueError, match=rf"encoder\.pt: .*{message}"):
        load_encoder(path)


@pytest.mark.parametrize("load", [load_encoder, load_arcface])
def test_files_of_other_things_are_named(tmp_path, load):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*absent\.pt"):
        load(tmp_path / "absent.pt")
    (tmp_path / "page.pt").write_text("<!DOCTYPE html><title>Google Drive - Virus scan warning</title>")
    with pytest.raises(ValueError, match=r"page\.pt: .* the file is a web page; the link may lead to a page about"):
        load(tmp_path / "page.pt")


def test_a_file_cut_short_is_refused(written):
    path = written({"state_dict": ENCODER, "opts": {}})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"encoder\.pt: "):
        load_encoder(path)
