"""Pickles of NVIDIA's TensorFlow code: names, layouts, flipped kernels and arguments become this package's."""

import sys

import jax
import numpy as np
import pytest

import stylegan2_flax as sg2
from stylegan2_flax.checkpoints import nvidia_tf
from stylegan2_flax.checkpoints.network_data import CheckpointError

SYNTHESIS = {"channel_base": 128, "channel_max": 8}


@pytest.fixture(scope="module")
def networks(make):
    return {"G": make("generator", 1), "D": make("discriminator", 2), "G_ema": make("generator", 3)}


@pytest.fixture(scope="module")
def file(tf_writer, networks):
    return tf_writer.file(networks["G"], networks["D"], networks["G_ema"])


@pytest.mark.parametrize(("protocol", "which"), [(2, "G_ema"), (3, "G"), (4, "D"), (5, "G_ema")])
def test_round_trip(assert_holds, tf_writer, networks, protocol, which):
    data = tf_writer.file(networks["G"], networks["D"], networks["G_ema"], protocol)
    assert_holds(nvidia_tf.read(data, which), networks[which])


def test_arguments(file):
    """Those of the network, but that some are now written out."""
    arguments = nvidia_tf.read(file).init_kwargs
    assert arguments["synthesis_kwargs"] == {**SYNTHESIS, "architecture": "skip"}
    assert arguments["mapping_kwargs"] == {"num_layers": 2, "layer_features": 12}


def test_original_code(assert_same, tf_writer, make, writers):
    """The stylegan2 repository: more arguments and variables, which change nothing."""
    network = make("generator", mapping_kwargs={"num_layers": 2, "w_avg_beta": 0.99})
    more = {"truncation_psi": None, "normalize_latents": True, "fused_modconv": True, "randomize_noise": False}
    pickled = tf_writer.generator(network, original=True, dlatent_avg_beta=np.float64(0.99), **more)
    for protocol in (2, 3, 4):
        data = tf_writer.old_names(writers.pickled((pickled, None, pickled), protocol))
        assert_same(nvidia_tf.read(data).build(), network)


def test_original_conditional_generator_normalises_latent_and_label_together(tf_writer, writers, make, tmp_path):
    """Against the formula itself: a matrix product for the label, then one normalisation of both."""
    network = make("generator", c_dim=3, mapping_kwargs={"num_layers": 1, "embed_features": 8, "input_norm": "joint"})
    network = sg2.from_state_dict(
        sg2.to_state_dict(network) | {"mapping.embed.bias": np.zeros(8, "f4")}, **network.init_kwargs
    )
    path = tmp_path / "network.pkl"
    path.write_bytes(writers.pickled(tf_writer.generator(network, original=True)))
    loaded = sg2.load(path)
    z, c = np.random.default_rng(0).normal(size=(2, 8)).astype("f4"), np.eye(3, dtype="f4")[:2]
    weights = dict(tf_writer.generator(network, original=True).state["components"]["mapping"].state["variables"])
    x = np.concatenate([z, c @ weights["LabelConcat/weight"]], axis=1)
    x = x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-8)
    x = x @ weights["Dense0/weight"] * 0.01 / np.sqrt(16) + weights["Dense0/bias"] * 0.01
    expected = np.maximum(x, 0.2 * x) * np.sqrt(2)
    latents = jax.jit(lambda mapping: mapping(z, c))
    np.testing.assert_allclose(latents(loaded.mapping)[:, 0], expected, rtol=2e-5, atol=1e-7)
    sg2.save(loaded, tmp_path / "network.safetensors")
    again = sg2.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(latents(again.mapping), latents(loaded.mapping))


@pytest.mark.parametrize(("function", "size"), [("D_stylegan2", 4), ("D_main", None)])
def test_default_of_the_group_size(tf_writer, make, writers, function, size):
    pickled = tf_writer.discriminator(make("discriminator"), function)
    del pickled.state["static_kwargs"]["mbstd_group_size"]
    assert nvidia_tf.read(writers.pickled(pickled)).init_kwargs["epilogue_kwargs"]["mbstd_group_size"] == size


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_architectures(assert_same, tf_writer, writers, make, architecture):
    changes = {"synthesis_kwargs": {**SYNTHESIS, "architecture": architecture, "conv_clamp": 256, "num_fp16_res": 2}}
    generator, discriminator = make("generator", **changes), make("discriminator", architecture=architecture)
    assert_same(nvidia_tf.read(writers.pickled(tf_writer.generator(generator))).build(), generator)
    built = nvidia_tf.read(writers.pickled(tf_writer.discriminator(discriminator, "D_stylegan2"))).build()
    assert_same(built, discriminator)


def test_conditional(assert_same, tf_writer, writers, make):
    generator = make(
        "generator", c_dim=3, w_dim=7, mapping_kwargs={"num_layers": 3, "layer_features": 5, "embed_features": 4}
    )
    assert_same(nvidia_tf.read(writers.pickled(tf_writer.generator(generator))).build(), generator)
    mapping = {"num_layers": 2, "lr_multiplier": 0.1, "layer_features": 6}
    discriminator = make("discriminator", c_dim=3, cmap_dim=5, mapping_kwargs=mapping)
    built = nvidia_tf.read(writers.pickled(tf_writer.discriminator(discriminator, "D_stylegan2"))).build()
    assert_same(built, discriminator)


def test_conditional_discriminator_by_default(assert_same, tf_writer, writers, make):
    """ADA's has no mapping layers: labels are embedded and no more."""
    network = make("discriminator", c_dim=3, mapping_kwargs={"num_layers": 0, "lr_multiplier": 0.1})
    pickled = tf_writer.discriminator(network)
    for name in ("mapping_layers", "mapping_lrmul"):
        del pickled.state["static_kwargs"][name]
    assert_same(nvidia_tf.read(writers.pickled(pickled)).build(), network)


def test_other_filter_and_activation(assert_same, tf_writer, writers, make):
    synthesis = {**SYNTHESIS, "resample_filter": [1, 2, 1], "activation": "relu", "use_noise": False}
    network = make("generator", synthesis_kwargs=synthesis)
    assert_same(nvidia_tf.read(writers.pickled(tf_writer.generator(network))).build(), network)
    activation = {"activation": "relu"}
    network = make(
        "discriminator",
        c_dim=3,
        block_kwargs={"resample_filter": [1, 2, 1], **activation},
        epilogue_kwargs={**activation, "mbstd_group_size": 2, "mbstd_num_channels": 2},
        mapping_kwargs={"num_layers": 1, **activation},
    )
    pickled = writers.pickled(tf_writer.discriminator(network, nonlinearity="relu"))
    assert_same(nvidia_tf.read(pickled).build(), network)


def test_layouts(tf_writer, writers, make):
    """Against the rule itself rather than the writer: which kernels are flipped, and the bias that lacks its 1."""
    network = tf_writer.generator(make("generator", img_resolution=16))
    synthesis = dict(network.state["components"]["synthesis"].state["variables"])
    arrays = nvidia_tf.read(writers.pickled(network)).arrays
    up, plain = synthesis["8x8/Conv0_up/weight"], synthesis["8x8/Conv1/weight"]
    assert arrays["synthesis.b8.conv0.weight"][3, 1, 0, 2] == up[2, 0, 1, 3]
    assert arrays["synthesis.b8.conv1.weight"][3, 1, 0, 2] == plain[0, 2, 1, 3]
    assert arrays["synthesis.b8.conv0.affine.bias"][2] == synthesis["8x8/Conv0_up/mod_bias"][2] + 1
    assert arrays["synthesis.b8.conv0.affine.weight"][2, 5] == synthesis["8x8/Conv0_up/mod_weight"][5, 2]
    for index, name in enumerate(("b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1")):
        noise = synthesis[f"noise{index}"]
        np.testing.assert_array_equal(arrays[f"synthesis.{name}.noise_const"], noise[0, 0], strict=True)


def test_stages_of_growth_have_no_use(assert_holds, tf_writer, writers, make):
    network = make("generator", synthesis_kwargs={**SYNTHESIS, "architecture": "orig"})
    pickled = tf_writer.generator(network)
    variables = pickled.state["components"]["synthesis"].state["variables"]
    variables += [("lod", np.float32(0)), ("ToRGB_lod1/weight", np.zeros((1, 1, 8, 3), "f4"))]
    assert_holds(nvidia_tf.read(writers.pickled(pickled)), network)


def test_python_2_strings(assert_holds, tf_writer, writers, make):
    """Bytes of arrays as Python 2 wrote them."""
    network = make("discriminator")
    data = tf_writer.old_names(writers.pickled(tf_writer.discriminator(network), 3))
    text = data.replace(b"C\x20", b"U\x20")
    assert text != data
    assert_holds(nvidia_tf.read(text), network)


def test_which(assert_holds, networks, file, tf_writer, writers):
    assert_holds(nvidia_tf.read(file), networks["G_ema"])
    alone = writers.pickled(tf_writer.discriminator(networks["D"]))
    with pytest.raises(CheckpointError, match="no network G_ema: choose from D"):
        nvidia_tf.read(alone, "G_ema")
    with pytest.raises(CheckpointError, match="no network G_emma: choose from G, D, G_ema"):
        nvidia_tf.read(file, "G_emma")


def test_recognises(file, torch_writer):
    assert nvidia_tf.recognises(file[:65536])
    assert not nvidia_tf.recognises(torch_writer.file({})[:65536])


def test_nothing_is_imported(file):
    before = set(sys.modules)
    nvidia_tf.read(file)
    assert not {name for name in set(sys.modules) - before if name.startswith(("dnnlib", "tensorflow"))}
    assert "dnnlib" not in sys.modules


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "format version 3: 4 is the oldest"),
        ({"version": None}, "format version unknown"),
        ({"build_func_name": "G_style"}, r"StyleGAN of 2018 \(version 1\)"),
        ({"static_kwargs": None}, "arguments or components are missing"),
        ({"components": {}}, "where a network is expected"),
        ({"variables": None}, "no list of variables"),
        ({"variables": [("a", 1, 2)]}, "no pair"),
        ({"variables": [("moving_mean", np.zeros(3, "f4"))]}, "a variable 'moving_mean'"),
        ({"variables": [("dlatent_avg", np.zeros(3, "i4"))]}, "type int32"),
        ({"variables": [("dlatent_avg", 3)]}, "where an array is expected"),
        ({"variables": []}, "missing mapping.w_avg"),
    ],
)
def test_networks_that_cannot_be_converted(tf_writer, writers, make, changes, message):
    network = tf_writer.generator(make("generator"))
    network.state.update(changes)
    with pytest.raises(CheckpointError, match=message):
        nvidia_tf.read(writers.pickled((network, network, network))).build()


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("4x4/StyleMod/weight", "StyleGAN of 2018"),
        ("noise99", "unexpected synthesis"),
    ],
)
def test_variables_of_other_networks(tf_writer, writers, make, variable, message):
    network = tf_writer.generator(make("generator"))
    network.state["components"]["synthesis"].state["variables"].append((variable, np.zeros((1, 1, 2, 2), "f4")))
    with pytest.raises(CheckpointError, match=message):
        nvidia_tf.read(writers.pickled(network)).build()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalize_latents": False}, "argument 'normalize_latents'"),
        ({"blur_filter": [1, 2, 1]}, "argument 'blur_filter', which is unknown"),
        ({"resolution": "16"}, "resolution is no number"),
        ({"resolution": 2**500}, "img_resolution"),
        ({"latent_size": 99}, "do not fit"),
        ({"fmap_base": None}, "value for channel_base"),
        ({"nonlinearity": 3}, "value for activation"),
    ],
)
def test_arguments_that_cannot_be_honoured(tf_writer, writers, make, arguments, message):
    network = tf_writer.generator(make("generator"), **arguments)
    with pytest.raises(CheckpointError, match=message):
        nvidia_tf.read(writers.pickled(network)).build()


def test_conditional_discriminator_of_the_original(tf_writer, writers, make):
    network = tf_writer.discriminator(make("discriminator"), label_size=3)
    with pytest.raises(CheckpointError, match="does not embed labels"):
        nvidia_tf.read(writers.pickled(network))


def test_progressive_gan(writers):
    network = writers.Called(writers.named("tfutil", "Network"), (), {"version": 2})
    with pytest.raises(CheckpointError, match="Progressive GAN"):
        nvidia_tf.read(writers.pickled((network, network, network)))


@pytest.mark.parametrize("value", [None, 3, (), (1, 2, 3), {"G": 1}, [[], [], []]])
def test_other_pickles(writers, value):
    with pytest.raises(CheckpointError, match=r"not of NVIDIA's|where a network"):
        nvidia_tf.read(writers.pickled(value))


def test_array_of_another_size(tf_writer, make, writers):
    data = writers.pickled(tf_writer.discriminator(make("discriminator")), 3)
    with pytest.raises(CheckpointError, match=r"array of shape \[9\] and type float32 has 32 bytes"):
        nvidia_tf.read(data.replace(b"K\x08\x85q", b"K\x09\x85q"))
    with pytest.raises(CheckpointError, match="of a kind that no network holds"):
        nvidia_tf.read(data.replace(b"X\x02\x00\x00\x00f4", b"X\x02\x00\x00\x00O8"))
