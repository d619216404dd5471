"""What an experiment starts from, and what it refuses before anything is written."""

from typing import Any

import numpy as np
import pytest
from flax import nnx
from PIL import Image

import stylegan2_flax as sg2
from stylegan2_flax import command, train
from stylegan2_flax.gan import experiment
from stylegan2_flax.gan.networks import make_discriminator, make_generator
from stylegan2_flax.run import config_record, metrics_log
from stylegan2_flax.run.dry_run import Needs


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train.dtype", "float64", "train.dtype must be one of float32, bfloat16, float16, got 'float64'"),
        ("augment.mode", "always", "augment.mode must be one of ada, fixed, off"),
        ("augment.pipeline", "cutout", "augment.pipeline must be one of blit"),
        ("augment.p", 1.5, "augment.p must be from 0 to 1, got 1.5"),
        ("train.batch_size", 0, "train.batch_size must be a whole number of at least 1, got 0"),
        ("train.keep_checkpoints", 0, "train.keep_checkpoints must be a whole number of at least 1"),
        ("channels", 2, "channels must be one of 1, 3, 4, got 2"),
        ("channels", 1, r"data.source draws images of shape \(4, 4, 3\), the networks need \(4, 4, 1\)"),
        ("train.profile_steps", (5, 2), "the first no later than the last"),
        ("train.batch_size", 12, "batch_size is 12, which does not spread evenly over 8 devices"),
        ("snapshot.kimg", -1.0, "snapshot.kimg must be positive"),
        ("score.num_samples", 33, "must be a multiple of score.batch_size"),
        ("score.features", "tiny_feature", r"unknown score.features 'tiny_feature'.*tiny_features"),
        ("score.features", "inception:nowhere.pth", "no Inception weights at nowhere.pth"),
        ("data.background", "wite", "data.background must be a colour .* 'wite'"),
        ("data.source", "tiny_image", r"unknown data.source 'tiny_image'.*tiny_images"),
        ("init", "tiny", r"init='tiny' is neither a file nor registered.*tiny_generator"),
        ("resolution", 12, "power of two"),
        ("discriminator.epilogue_kwargs.mbstd_group_size", 3, "a batch of 8 is no multiple of the 3"),
        ("generator.mapping_kwargs.num_layers", -1, "num_layers"),
    ],
)
def test_bad_values_are_named(config, tmp_path, field, value, message):
    config.update_from_flattened_dict({field: value})
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        experiment.run(config, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_lowers_each_phase_and_writes_nothing(config, tmp_path, monkeypatch):
    monkeypatch.setattr(Needs, "of", lambda program: Needs(0, 0, 0, 1e9))
    config.loss.r1.gamma = config.loss.style_mixing = 0.0
    config.augment.mode = "off"
    text = experiment.dry_run(config, tmp_path)
    names = [line.split()[0] for line in text.splitlines()]
    phases = ["generator_main", "generator_path_length", "discriminator_main", "finish"]
    assert names == ["mesh", "batch", "parameters", *phases, "operations", "memory"]
    assert "8 images a step, 1 on each device" in text
    assert "3.5 GFLOP a step" in text  # the path lengths, in every second step
    assert list(tmp_path.iterdir()) == []


def test_an_offered_generator_and_a_file_are_started_from(config, tmp_path):
    config.init = "tiny_generator"
    generator = make_generator(config)
    sg2.save(generator, tmp_path / "g.safetensors")
    config.init = str(tmp_path / "g.safetensors")
    again = make_generator(config)
    assert generator.init_kwargs == again.init_kwargs
    for name, array in sg2.to_state_dict(generator).items():
        np.testing.assert_array_equal(sg2.to_state_dict(again)[name], array)
    config.resolution = 8
    with pytest.raises(ValueError, match=r"for 4 px, 3 channels and 0 label classes; this experiment .* 8 px"):
        make_generator(config)


@pytest.mark.parametrize("name", ["gone.safetensors", "/gone/g.safetensors", "hf://someone/gone/g.safetensors"])
def test_a_run_goes_on_from_its_own_generator_where_the_first_one_is_gone(config, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    config.init = "tiny_generator"
    own = make_generator(config)
    sg2.save(own, tmp_path / "run" / "generator.safetensors")
    config.init = name
    found = make_generator(config, tmp_path / "run")
    for key, array in sg2.to_state_dict(own).items():
        np.testing.assert_array_equal(sg2.to_state_dict(found)[key], array)


def test_a_discriminator_is_loaded_with_its_own_form(config, tmp_path, randomized):
    sizes: dict[str, Any] = {"channel_base": 16, "channel_max": 2}
    discriminator = randomized(lambda: sg2.Discriminator(img_resolution=4, **sizes, rngs=nnx.Rngs(3)))
    sg2.save(discriminator, tmp_path / "d.safetensors")
    config.init_discriminator = str(tmp_path / "d.safetensors")
    assert make_discriminator(config).b4.fc.weight.shape == (2, 32)
    config.init = config.init_discriminator
    with pytest.raises(ValueError, match="holds no generator"):
        make_generator(config)


def test_arguments_of_networks_that_there_are_not_are_named(config):
    config.generator.width = 3
    with pytest.raises(ValueError, match=r"config has wrong arguments for Generator: .*'width'"):
        make_generator(config)


def test_labels_are_refused(config, tmp_path, randomized):
    blocks = {"synthesis_kwargs": {"channel_base": 16, "channel_max": 2}, "mapping_kwargs": {"num_layers": 1}}
    network = randomized(lambda: sg2.Generator(4, 2, 4, 4, 3, **blocks, rngs=nnx.Rngs(0)))
    sg2.save(network, tmp_path / "g.safetensors")
    config.init = str(tmp_path / "g.safetensors")
    with pytest.raises(ValueError, match=r"2 label classes; .* without labels"):
        make_generator(config)


def test_all_wrong_fields_are_named_at_once(config, tmp_path):
    config.train.keep_checkpoints = 0
    config.augment.mode = "always"
    with pytest.raises(ValueError, match=r"invalid:\n  augment\.mode must .*\n  train\.keep_checkpoints must "):
        experiment.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_colours_of_images_with_transparency_are_not_augmented(config, tmp_path):
    config.channels = 4
    config.augment.pipeline = "bgc"
    with pytest.raises(ValueError, match=r"augment\.pipeline=bgc changes colours, which needs 1 or 3 channels"):
        experiment.run(config, tmp_path)


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_new_networks_with_labels_are_refused_at_the_start(config, tmp_path, network):
    config[network].c_dim = 5
    with pytest.raises(ValueError, match=r"c_dim must be 0: .* not trained here"):
        experiment.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("field", "message"), [("data.source", "unknown data.source"), ("score.features", "unknown")])
def test_data_and_features_that_are_missing_are_said_before_networks_are_built(
    config, tmp_path, monkeypatch, field, message
):
    monkeypatch.delattr(experiment, "make_generator")
    config.update_from_flattened_dict({field: "nowhere"})
    with pytest.raises(ValueError, match=f"{message}.*'nowhere'"):
        experiment.run(config, tmp_path / "run")


@pytest.mark.parametrize("channels", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_grey_images_and_such_with_transparency_are_learnt_shown_and_scored(
    config, untrained, tmp_path, channels, capsys
):
    """By the command, from the config that a run has recorded."""
    (tmp_path / "images").mkdir()
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 6, 4), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    config.channels = channels
    new = nnx.eval_shape(lambda: (make_generator(config), make_discriminator(config)))
    assert [network.img_channels for network in new] == [channels, channels]
    for field, network in zip(("init", "init_discriminator"), new, strict=True):  # by NumPy, as nothing is to compile
        kind, arguments = type(network), network.init_kwargs
        sg2.save(untrained(lambda rngs, kind=kind, arguments=arguments: kind(**arguments, rngs=rngs)), tmp_path / field)
        config[field] = str(tmp_path / field)
    config.data.source = str(tmp_path / "images")
    config.score.features = "tiny_features" if channels == 4 else ""
    config.train.total_kimg = 0.008
    config.loss.path_length.weight = config.loss.r1.gamma = config.loss.style_mixing = 0.0
    config.augment.mode = "off"
    config_record.write_config(config, tmp_path)
    flags = ["--nodistributed", f"--config={tmp_path}/config.json", f"--workdir={tmp_path}/run"]
    command.run(train.main, train.FLAGS, ["train", *flags])
    assert "Trained 1 steps" in capsys.readouterr().out
    with Image.open(tmp_path / "run" / "snapshots" / "0000001.png") as picture:
        assert picture.mode == {1: "L", 4: "RGBA"}[channels]
    assert sg2.load(tmp_path / "run" / "generator.safetensors").img_channels == channels
    assert np.isfinite(metrics_log.read(tmp_path / "run" / "metrics.jsonl")[-1].get("score", 0.0))


def test_features_that_do_not_take_the_images_are_refused_at_the_start(config, tmp_path):
    Image.new("L", (6, 6)).save(tmp_path / "a.png")
    config.channels, config.data.source = 1, str(tmp_path)
    with pytest.raises(ValueError, match=r"score.features=tiny_features does not take images of 4 px and 1 channels"):
        experiment.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
