"""Presets against the published figures, and the configs that use them."""

import importlib

import pytest

from stylegan2_flax.gan import presets, rules


def get_config(name, *arguments):
    return importlib.import_module(f"disentangle_jax.configs.{name}").get_config(*arguments)


@pytest.mark.parametrize(
    ("resolution", "devices", "batch", "group", "gamma", "ema", "rate"),
    [
        (256, 1, 16, 4, 0.8192, 5.0, 0.0025),
        (64, 1, 32, 4, 0.0256, 10.0, 0.0025),
        (128, 1, 32, 4, 0.1024, 10.0, 0.0025),
        (1024, 8, 32, 4, 6.5536, 10.0, 0.002),
    ],
)
def test_auto(resolution, devices, batch, group, gamma, ema, rate):
    preset = presets.auto(resolution, devices)
    assert (preset.batch, preset.group, preset.rate, preset.mapping_layers) == (batch, group, rate, 2)
    assert preset.gamma == pytest.approx(gamma)
    assert preset.ema_kimg == pytest.approx(ema)
    assert preset.channels == (1.0 if resolution >= 512 else 0.5)


def test_presets_are_whole_configs():
    for name in presets.NAMES:
        config = get_config("gan_folder", f"256,{name}")
        rules.check(config)
        assert config.generator.synthesis_kwargs.conv_clamp == config.discriminator.conv_clamp == 256
    config = get_config("gan_folder", f"256,{presets.NAMES[-1]}")
    assert config.discriminator.architecture == "orig"
    assert config.loss.path_length.weight == config.loss.style_mixing == 0
    assert get_config("gan_folder", "256,paper256").generator.synthesis_kwargs.channel_base == 16384
    assert get_config("gan_folder", "256,stylegan2").optimizer.generator.learning_rate == 0.002


def test_faces():
    rules.check(get_config("gan_faces64"))
    gpu = get_config("gan_faces64", "gpu,scratch")
    rules.check(gpu)
    assert (gpu.train.dtype, gpu.train.max_minutes, gpu.init) == ("bfloat16", 9.0, "")


def test_wrong_arguments_are_told_what_there_is():
    with pytest.raises(ValueError, match="unknown switch 'gpus': this config knows gpu, scratch"):
        get_config("gan_faces64", "gpus")
    with pytest.raises(ValueError, match="unknown preset 'best': choose one of auto, stylegan2, paper256, cifar"):
        get_config("gan_folder", "256,best")
    with pytest.raises(ValueError, match=r"as in gan_folder.py:256; got 'big'"):
        get_config("gan_folder", "big")
    for devices in ("0", "all", "8,8"):
        with pytest.raises(ValueError, match=rf"got '256,auto,{devices}'"):
            get_config("gan_folder", f"256,auto,{devices}")
    one, eight = (get_config("gan_folder", f"1024,auto,{devices}") for devices in (1, 8))
    assert 8 * one.train.batch_size == eight.train.batch_size
    assert one.loss.r1.gamma == 8 * eight.loss.r1.gamma
