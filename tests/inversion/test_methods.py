"""Inversion by whichever method there is, of images with any leading axes; tuning; distances by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.configs import inversion
from disentangle_jax.inversion import invert
from disentangle_jax.inversion.distances import load_distance
from disentangle_jax.inversion.tuning import tune


@pytest.fixture
def settings():
    config = inversion.get_config()
    config.optimise.steps = config.refine.steps = 40
    config.scout.steps, config.batch_size, config.candidates, config.starts = 5, 2, 8, 1
    config.weights.spread = 0.0  # the layers of these faces disagree
    return config


@pytest.fixture(scope="module")
def encoder(images, ws):
    """Knows the images, and is off by a little."""

    def read(batch):
        rows = [int(np.argmin(np.abs(images - np.asarray(image)).mean(axis=(1, 2, 3)))) for image in batch]
        return jnp.asarray(ws[rows] + 0.1)

    return read


def test_what_an_encoder_says_is_taken_or_refined(generator, images, ws, encoder, settings):
    stack = images[:4].reshape(2, 2, *images.shape[1:])
    said = invert(stack, generator, method="encoder", encoder=encoder, settings=settings)
    np.testing.assert_allclose(said.ws, (ws[:4] + 0.1).reshape(2, 2, 4, 8), atol=1e-6)
    assert (said.images.shape, said.psnr.shape, said.deviations.shape) == (stack.shape, (2, 2), (2, 2))
    found = invert(stack, generator, encoder=encoder, settings=settings)
    assert np.all(found.psnr > said.psnr + 3)
    searched = invert(stack, generator, method="optimise", encoder=encoder, settings=settings)
    assert np.abs(searched.ws - found.ws).max() > 0.1
    one = invert(images[3], generator, method="encoder", encoder=encoder)
    assert (one.ws.shape, one.psnr.shape) == ((4, 8), ())


def test_an_encoder_knows_no_latents_of_w(generator, images, encoder, settings):
    settings.space = "w"
    with pytest.raises(ValueError, match=r"an encoder's latents are of W\+: space=w is for"):
        invert(images[:1], generator, method="encoder", encoder=encoder, settings=settings)


def test_images_of_other_sizes_are_cut_and_resized_with_a_word(generator, images, encoder):
    wide = np.repeat(np.repeat(images[:1], 2, axis=1), 2, axis=2)
    wide = np.pad(wide, ((0, 0), (0, 0), (4, 4), (0, 0)))
    with pytest.warns(UserWarning, match="images of 24 x 16 are cut to the square in the middle and resized to the"):
        found = invert(wide, generator, method="encoder", encoder=encoder)
    np.testing.assert_allclose(found.ws, encoder(images[:1]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x: x, {"method": "encoder"}, "method='encoder' needs an encoder, and none is registered"),
        (lambda x: x, {"method": "magic"}, "unknown method 'magic': choose one of auto, encoder, optimise"),
        (lambda x: (127 * x).astype(np.uint8), {}, "images must be numbers in .* got uint8: give images / 127.5 - 1"),
        (lambda x: x[..., :1], {}, r"images must be \[..., h, w, 3\] for this generator, got shape \[5, 8, 8, 1\]"),
        (lambda x: x[:0], {}, r"got shape \[0, 8, 8, 3\]"),
        (lambda x: x * np.float32(np.nan), {}, "numbers that are not finite"),
        (
            lambda x: x,
            {"encoder": lambda batch: jnp.zeros((len(batch), 6, 8))},
            r"the encoder gives latents of shape \[6, 8\], and this generator's are \[4, 8\]: it is for another",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_what_does_not_fit_is_told(generator, images, change, options, message):
    with pytest.raises(ValueError, match=message):
        invert(change(images), generator, **options)


@pytest.mark.slow
def test_a_tuned_generator_draws_the_images_and_leaves_the_old_one_alone(generator, images, ws, settings):
    settings.tune.steps, settings.tune.learning_rate = 60, 1e-2
    before = sg2.to_state_dict(generator)
    tuned = tune(images, ws + 0.3, generator, settings)
    for name, array in sg2.to_state_dict(generator).items():
        np.testing.assert_array_equal(array, before[name])
    draw = jax.jit(lambda synthesis, ws: synthesis(ws))

    def error(network):
        return np.mean(np.square(draw(network.synthesis, ws + 0.3) - images))

    assert error(tuned) < 0.3 * error(generator)
    assert tuned.init_kwargs == generator.init_kwargs
    for name, array in sg2.to_state_dict(tuned).items():
        assert np.array_equal(array, before[name]) == (
            name.startswith("mapping.") or name.endswith(("noise_const", "resample_filter"))
        ), name


def test_distances_are_found_by_name(monkeypatch, tmp_path, images):
    (tmp_path / "distances_of_someone.py").write_text(
        "import jax.numpy as jnp\ndef factory():\n    return lambda x, y: jnp.mean((x - y) ** 2, axis=(1, 2, 3))\n"
        "number = lambda: 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_distance("none") is None
    judged = load_distance("judge_a")
    assert judged is not None
    faces = jnp.asarray(np.repeat(np.repeat(images[:4], 8, axis=1), 8, axis=2))
    values = np.asarray(judged(faces, faces[::-1]))
    assert values.shape == (4,)
    assert np.all(values > 0)
    np.testing.assert_array_equal(judged(faces, faces), 0.0)
    own = load_distance("distances_of_someone:factory")
    assert own is not None
    np.testing.assert_array_equal(own(faces, faces), 0.0)
    for name, message in (
        ("judge_x", "unknown distance 'judge_x': it is neither none, nor lpips:PATH, nor a scorer"),
        ("distances_of_someone:other", "unknown distance"),
        ("distances_of_someone:number", "gives a int, not a distance"),
    ):
        with pytest.raises(ValueError, match=message):
            load_distance(name)


def test_lpips_without_its_weights_says_where_they_come_from():
    pytest.importorskip("lpips_nnx")
    with pytest.raises(FileNotFoundError, match="no weights of VGG16 at nowhere: give lpips:PATH"):
        load_distance("lpips:nowhere")


@pytest.mark.slow
def test_lpips_takes_its_weights_from_a_file_and_downloads_nothing(tmp_path, writers, images, monkeypatch):
    lpips_nnx = pytest.importorskip("lpips_nnx")
    monkeypatch.setattr(lpips_nnx.vgg, "load_vgg16_weights", lambda: pytest.fail("it would download"))
    random, size, weights = np.random.default_rng(0), 3, {}
    for number, out in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), VGG, strict=True):
        scale = np.sqrt(2 / (9 * size))
        weights[f"features.{number}.weight"] = (scale * random.standard_normal((out, size, 3, 3))).astype(np.float32)
        weights[f"features.{number}.bias"] = np.zeros(out, np.float32)
        size = out
    path = tmp_path / "vgg16.pth"
    path.write_bytes(writers.torch_zip(writers.with_tensors(weights)))
    lpips = load_distance(f"lpips:{path}")
    assert lpips is not None
    x = jnp.asarray(np.repeat(np.repeat(images[:2], 8, axis=1), 8, axis=2))  # 64 px: its blocks halve them four times
    near, far = (np.asarray(lpips(x, x + change)) for change in (0.01, 0.5))
    assert near.shape == (2,)
    assert np.all((near > 0) & (near < far))
    layer = nnx.state(lpips.args[0])["vgg"]["conv_2"]["kernel"]  # pyright: ignore[reportAttributeAccessIssue, reportFunctionMemberAccess]
    np.testing.assert_array_equal(layer[...], weights["features.2.weight"].transpose(2, 3, 1, 0))
    del weights["features.28.bias"]
    path.write_bytes(writers.torch_zip(writers.with_tensors(weights)))
    with pytest.raises(ValueError, match=r"no weights of torchvision's VGG16: features\.28\.bias is missing"):
        load_distance(f"lpips:{path}")


VGG = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
