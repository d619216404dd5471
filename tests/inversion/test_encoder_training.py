"""Training an encoder: it learns, resumes exactly, and leaves a file and a card."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax import train_encoder
from disentangle_jax.configs import encoder_faces64
from disentangle_jax.inversion import distances, encoder_card, encoder_training
from disentangle_jax.inversion.encoder_network import EncoderNetwork
from disentangle_jax.inversion.encoder_samples import draw_samples, style_variances
from disentangle_jax.inversion.latent_space import LatentSpace
from stylegan2_flax import command
from stylegan2_flax.run import config_flag, loop, metrics_log, parallel


@jax.tree_util.register_static
class Colours:
    """A domain and its scorer: pictures of one colour, which are the first three numbers of the latents' mean."""

    names = ("red", "green", "blue")
    structure = ("blue",)

    def truth(self, ws):
        return jnp.tanh(ws.mean(-2)[..., :3])

    def render(self, factors, resolution):
        return jnp.broadcast_to(factors[:, None, None], (len(factors), resolution, resolution, 3))

    def pose(self, ws, structure):
        return ws.at[:, 2].add(jnp.arctanh(structure)[0] - ws[:, 2].mean())

    def __call__(self, images):
        return images.mean((1, 2))


@pytest.fixture(scope="module")
def generator():
    sizes: dict[str, Any] = {"channel_base": 32, "channel_max": 4}
    kwargs: dict[str, Any] = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": sizes}
    return jax.jit(lambda: sg2.Generator(8, 0, 8, 8, **kwargs, rngs=nnx.Rngs(0)))()


@pytest.fixture(scope="module")
def generator_file(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("generator") / "small.safetensors"
    sg2.save(generator, path)
    return path


@pytest.fixture
def colours():
    return Colours()


@pytest.fixture
def config(generator_file):
    config = encoder_faces64.get_config("no_domain")
    config.update(name="small_encoder", generator=str(generator_file))
    config.model.update(size=8, widths=(4, 8), num_units=(0, 1), hidden=16)
    config.loss.update(draw_every=2, scales=2)
    config.optimizer.warmup_steps = 1
    config.train.update(batch_size=16, num_steps=4, log_every=1, checkpoint_every=2)
    config.evaluation.update(every=2, num_images=8)
    return config


class StopAfterThree(loop.Interrupt):
    def after(self, step):
        self.name = "SIGINT" if step == 3 else None
        return self.name


@pytest.mark.slow
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(config, tmp_path, monkeypatch):
    encoder_training.run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Interrupt", StopAfterThree)
        with pytest.raises(loop.Stopped, match="after step 3 of 4"):
            encoder_training.run(config, tmp_path / "stopped")
    encoder_training.run(config, tmp_path / "stopped")
    for name in ("small_encoder.safetensors", "small_encoder.json", "metrics.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    lines = metrics_log.read(tmp_path / "whole" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert {"loss", "latents", "styles", "pixels", "psnr_samples"} <= lines[-1].keys()
    again = config_flag.load(str(tmp_path / "whole" / "config.json"))
    encoder_training.run(again, tmp_path / "whole")  # its own record is a config, of which nothing is left to do
    card = json.loads((tmp_path / "whole" / "small_encoder.json").read_text())
    assert (card["images"], card["held_out"]) == (64, 8)
    assert card["psnr_samples"] == pytest.approx(lines[-1]["psnr_samples"], abs=0.2)  # rounded to half precision


def test_it_learns_from_exact_pictures_too(config, generator, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_training, "load_domain", lambda name: colours)
    monkeypatch.setattr(encoder_card, "load_scorer", lambda name: colours)
    monkeypatch.setattr(distances, "load_scorer", lambda name: colours)
    config.samples.exact = 1.0  # the small generator, which is random, knows nothing of the domain
    config.loss.update(distance="judge_a", weights={"latents": 1.0, "pixels": 0.0, "distance": 0.01})
    config.evaluation.update(judge="another", num_images=64, every=60)
    config.optimizer.learning_rate = 1e-2
    config.train.update(num_steps=60, log_every=20, checkpoint_every=60)
    encoder = encoder_training.run(config, tmp_path)
    lines = metrics_log.read(tmp_path / "metrics.jsonl")
    assert "distance" in lines[-1]
    assert "pixels" not in lines[-1]
    card = json.loads((tmp_path / "small_encoder.json").read_text())
    assert card["structure_r2_of_latents"] > 0.3  # the mean latent's is 0
    assert {"appearance_r2_read_in_pictures", "psnr_exact"} <= card.keys()
    assert EncoderNetwork.load(tmp_path / "small_encoder.safetensors").sizes == encoder.sizes
    encoder.check_generator(generator)


def test_samples_are_the_pictures_of_their_latents(config, generator, colours):
    options, sharding = config.samples, parallel.over_batch(parallel.make_mesh(8))
    options.update(exact=0.5, psi=(0.5, 0.5), style_mixing=0.0)
    draw = jax.jit(lambda key: draw_samples(generator, colours, key, 8, options, sharding))
    samples = draw(jax.random.key(0))
    images, ws = map(np.asarray, (samples.images, samples.ws))
    np.testing.assert_allclose(images[:4], colours.render(colours.truth(ws[:4]), 8), atol=1e-5)
    np.testing.assert_allclose(images[4:], jax.jit(generator.synthesis)(ws[4:]), atol=1e-3)
    np.testing.assert_array_equal(ws, np.broadcast_to(ws[:, :1], ws.shape))


def test_styles_have_the_measured_variance(generator):
    variances = style_variances(generator.synthesis, LatentSpace.of(generator.mapping))
    z = np.random.default_rng(1).normal(size=(4096, generator.z_dim)).astype(np.float32)
    found = jax.jit(lambda generator, z: generator.synthesis.styles(generator.mapping(z)))(generator, z)
    for name, styles in found.items():
        assert np.asarray(styles).var(0).mean() == pytest.approx(float(variances[name]), rel=0.15)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--config.train.num_steps=1", r"optimizer.warmup_steps \(\d+\) must be below train.num_steps \(1\)"),
        ("--config.loss.draw_every=3", r"loss.draw_every \(3\) must divide train.batch_size"),
        ("--config.model.widths=(8,)", "model.widths and model.num_units must be of one length"),
        ("--config.evaluation.judge=judge_a", "evaluation.judge must not be loss.distance"),
        ("--config.samples.psi=(1.0,0.5)", r"samples.psi must be \(smallest, largest\)"),
        ("--config.generator=none.safetensors", "there is no generator"),
    ],
)
def test_an_invalid_config_is_one_line_and_leaves_nothing(setting, message, tmp_path):
    arguments = ["train_encoder", "--config=encoder_faces64", f"--workdir={tmp_path / 'run'}", setting]
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        command.run(train_encoder.main, train_encoder.FLAGS, arguments)
    assert not (tmp_path / "run").exists()


def test_exact_pictures_need_a_domain(config, tmp_path):
    config.samples.exact = 0.5
    with pytest.raises(ValueError, match=r"samples\.exact is for a generator whose domain is known"):
        encoder_training.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
