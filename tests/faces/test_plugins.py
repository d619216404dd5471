"""What the faces offer, found by name as anything else is."""

import json
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np

import disentangle_jax as dj
from disentangle_jax import faces
from disentangle_jax.faces.judge import Judge
from disentangle_jax.inversion import encoders
from disentangle_jax.inversion.encoder_network import EncoderNetwork
from disentangle_jax.metrics import psnr, r2
from stylegan2_flax import plugins
from stylegan2_flax.gan.score import open_features


def test_faces_are_drawn_from_one_key():
    factory = plugins.find_factory(plugins.IMAGES, "parametric_faces")
    assert factory is not None
    assert jax.eval_shape(lambda: factory(32)(jax.random.key(0), 3)).shape == (3, 32, 32, 3)
    draw = factory(64)
    images = np.asarray(draw(jax.random.key(0), 32))
    assert np.abs(images).max() <= 1
    assert not np.array_equal(images[0], images[1])
    np.testing.assert_array_equal(draw(jax.random.key(0), 32), images)


def test_the_judge_gives_features_from_which_it_reads():
    judge = Judge.load("judge_b")
    images = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    call = jax.jit(lambda network, images: network(images))
    features = call(open_features("faces_judge"), images)
    np.testing.assert_allclose(judge.head(features), call(judge, images), atol=1e-5)


def test_the_bundled_generator_is_offered(bundled):
    factory = plugins.find_factory(plugins.GENERATORS, "faces64")
    assert factory is not None
    assert factory().init_kwargs == bundled.init_kwargs


def test_the_bundled_model_transfers_structure_and_keeps_appearance(sample_ws):
    """Better on both than its card says of the linear transfer, though by the truth and on other faces."""
    model = dj.Disentangler.load("faces64")
    truth = faces.Truth.load("faces64")
    source, driving = sample_ws(3, 256), sample_ws(4, 256)
    result = truth(model.transfer(source, driving))
    card = json.loads((resources.files("disentangle_jax") / "assets/models/faces64/metrics.json").read_text())
    linear = card["transfer"]["methods"]["linear transfer"]
    assert r2(result.structure, truth(driving).structure).mean() > linear["structure_r2"] + 0.05
    assert r2(result.appearance, truth(source).appearance).mean() > linear["appearance_r2"] + 0.05


def test_the_bundled_encoder_inverts_faces_that_the_generator_never_drew(bundled, pictures, draw):
    encoder = encoders.load_for("faces64")
    assert isinstance(encoder, EncoderNetwork)
    encoder.check_generator(bundled)
    images = pictures(np.random.default_rng(2).uniform(-1, 1, (16, len(faces.NAMES))))
    assert np.mean(psnr(*map(jnp.asarray, (draw(encoder(images)), images)))) > 20
