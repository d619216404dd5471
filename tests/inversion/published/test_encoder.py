"""What the user calls: pictures in, latents out; ReStyle's rounds; bad input."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from disentangle_jax.inversion import from_state_dict
from disentangle_jax.inversion.pictures import bilinear
from disentangle_jax.inversion.published import networks


def pictures(n, h, w, c=3):
    return np.random.default_rng([n, h]).uniform(-1, 1, (n, h, w, c)).astype(np.float32)


@pytest.fixture
def mean():
    return np.random.default_rng(3).standard_normal((4, 512)).astype(np.float32)


def test_pictures_are_resized_and_the_mean_is_added(tiny_encoder, mean):
    images = pictures(2, 30, 40)
    plain, encoder = tiny_encoder(size=(16, 16)), tiny_encoder(size=(16, 16), latent_avg=mean)
    codes = plain.network(bilinear(jnp.asarray(images), (16, 16)))
    np.testing.assert_allclose(plain(images), codes, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoder(images), codes + mean[None], rtol=1e-5, atol=1e-6)


def test_a_generator_changes_nothing_where_there_are_no_rounds_but_must_fit(tiny_encoder, generator):
    encoder = tiny_encoder()
    with pytest.raises(
        ValueError, match=r"latents \[5, 512\] and 3 image channels, the given one has latents \[4, 512\]"
    ):
        tiny_encoder(num_ws=5)(pictures(1, 8, 8), generator)
    np.testing.assert_array_equal(encoder(pictures(1, 8, 8), generator), encoder(pictures(1, 8, 8)))


def test_every_layer_of_a_single_style_is_the_same():
    network = nnx.eval_shape(lambda: networks.SingleStyleCodeEncoder(6))
    assert nnx.eval_shape(lambda net, x: net(x), network, jnp.zeros((2, 64, 64, 3))).shape == (2, 6, 512)


@pytest.mark.parametrize("rounds", [1, 3])
def test_restyle_s_rounds_are_those_of_a_loop_by_hand(tiny_encoder, generator, draw, mean, rounds):
    encoder = tiny_encoder(in_rounds=True, size=(4, 4), latent_avg=mean)
    images = pictures(2, 4, 4)
    drawn = draw(np.tile(mean, (2, 1, 1)))  # the mean picture, for each
    ws = np.tile(mean, (2, 1, 1))
    for _ in range(rounds):
        drawn = drawn.reshape(2, 4, 2, 4, 2, 3).mean((2, 4))  # 8 px to 4
        ws = ws + np.asarray(encoder.network(jnp.concatenate([images, drawn], axis=-1)))
        drawn = draw(ws)
    np.testing.assert_allclose(encoder(images, generator, rounds=rounds), ws, rtol=1e-4, atol=1e-4)
    assert np.abs(ws - mean).max() > 0.1


def test_there_are_five_rounds(tiny_encoder, generator, mean):
    encoder = tiny_encoder(in_rounds=True, size=(4, 4), latent_avg=mean)
    images = pictures(2, 4, 4)
    four, five, default = (
        np.asarray(encoder(images, generator, **rounds)) for rounds in ({"rounds": 4}, {"rounds": 5}, {})
    )
    np.testing.assert_array_equal(default, five)
    assert np.abs(five - four).max() > 1e-3


def test_cars_lie_in_the_middle_rows_of_what_their_generator_draws(tiny_encoder, generator, draw, mean):
    encoder = tiny_encoder(in_rounds=True, size=(6, 8), latent_avg=mean)
    images = pictures(1, 6, 8)
    drawn = draw(np.tile(mean, (2, 1, 1)))[:1, 1:7]
    expected = mean + encoder.network(jnp.concatenate([images, drawn], axis=-1))[0]
    np.testing.assert_allclose(encoder(images, generator, rounds=1)[0], expected, rtol=1e-4, atol=1e-4)


def test_one_pass_of_restyle_takes_picture_and_reconstruction(tiny_encoder):
    encoder = tiny_encoder(in_rounds=True, size=(4, 4))
    both = pictures(2, 4, 4, 6)
    np.testing.assert_allclose(encoder(both), encoder.network(jnp.asarray(both)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.uint8), r"in \[-1, 1\], got uint8: give images / 127.5 - 1"),
        (np.zeros((8, 8, 3), np.float32), r"images must be \[n, h, w, c\], got \[8, 8, 3\]"),
        (np.zeros((1, 8, 8, 4), np.float32), r"images must be \[n, h, w, 3\], got \[1, 8, 8, 4\]"),
        (np.zeros((1, 0, 8, 3), np.float32), r"images must be \[n, h, w, 3\], got \[1, 0, 8, 3\]"),
    ],
)
def test_other_pictures_are_refused(tiny_encoder, images, message):
    with pytest.raises(ValueError, match=message):
        tiny_encoder()(images)


def test_restyle_needs_its_generator_and_a_mean(tiny_encoder, generator, mean):
    images, encoder = pictures(1, 4, 4), tiny_encoder(in_rounds=True, size=(4, 4), latent_avg=mean)
    with pytest.raises(ValueError, match=r"call encoder\(images, generator\)"):
        encoder(images)
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        encoder(images, generator, rounds=0)
    with pytest.raises(ValueError, match=r"no latent_avg to start .*: load it by load_encoder"):
        tiny_encoder(in_rounds=True)(images, generator)
    other = tiny_encoder(num_ws=6, in_rounds=True, latent_avg=np.zeros((6, 512), np.float32))
    with pytest.raises(ValueError, match=r"latents \[6, 512\] .* has latents \[4, 512\] .* by stylegan2_flax.load"):
        other(images, generator)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"encoder_type": "BackboneEncoderV2"}, "unknown encoder_type 'BackboneEncoderV2': choose one of Gradual"),
        ({}, {"num_ws": 0}, "num_ws must be from 1 to 22, got 0"),
        ({}, {"mode": "se"}, "unknown mode 'se': choose one of ir, ir_se"),
        ({"linear.bias": None}, {}, r"not those of SingleStyleCodeEncoder \(ir_se, num_ws 4\): missing linear\.bias$"),
        ({"styles.0.linear.bias": np.zeros(512)}, {}, r"unexpected styles\.0\.linear\.bias$"),
        ({"linear.bias": np.zeros(3)}, {}, r"linear\.bias must have shape \[512\], has \[3\]"),
        ({"linear.bias": np.full(512, "a")}, {}, r"linear\.bias must be an array of real numbers, is of type <U1"),
        ({"linear.bias": np.full(512, np.nan)}, {}, r"of no use: there is NaN or infinity in linear\.bias"),
        ({}, {"mode": "ir"}, r"\(ir, num_ws 4\): unexpected body\.0\.res_layer\.5\.fc1\.weight"),
        ({}, {"encoder_type": "Encoder4Editing"}, r"missing latlayer1\.bias, .* and \d+ more"),
    ],
)
def test_arrays_of_another_encoder_are_refused(single_style_arrays, changes, options, message):
    arrays = {name: array for name, array in (single_style_arrays | changes).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        from_state_dict(arrays, **{"encoder_type": "SingleStyleCodeEncoder", "num_ws": 4, **options})
