"""Teaching the generator: a run that was interrupted ends where one that was not does."""

import json
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.configs import distill_faces64
from disentangle_jax.faces import NAMES, assessment, distillation, train_generator
from disentangle_jax.faces.truth import Truth
from stylegan2_flax.run import loop, metrics_log


def make_config():
    """The recipe, with three steps a stage and a checkpoint after the second and the last."""
    config = distill_faces64.get_config()
    config.generator.synthesis_kwargs.update(channel_base=64, channel_max=2)
    config.stats_samples = 4096
    config.train.update(
        batch_size=8, resolutions=(8, 64), num_steps=(3, 3), checkpoint_every=2, log_every=1, evaluate_every=3
    )
    config.evaluation.num_faces = 8
    return config


@pytest.fixture
def config():
    return make_config()


@pytest.fixture
def learn(config, monkeypatch):
    """The weights at the end of a run in a folder, of plain pictures."""
    written = []
    monkeypatch.setattr(distillation, "render", plain)
    monkeypatch.setattr(train_generator, "write_results", lambda generator, truth, weights, *_: written.append(weights))

    def run(folder):
        train_generator.run(config, folder)
        return written.pop()

    return run


def plain(factors):
    """Pictures of one colour, made in no time."""
    return jnp.broadcast_to(factors.structure[:, None, None, :3], (len(factors.structure), 64, 64, 3))


class StopAfter(loop.Interrupt):
    """SIGINT after some steps of a run, in whatever stage."""

    steps = 0

    def after(self, step):
        StopAfter.steps -= 1
        self.name = "SIGINT" if StopAfter.steps == 0 else None
        return self.name


@pytest.mark.slow
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(learn, tmp_path, monkeypatch):
    whole = learn(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Interrupt", StopAfter)
        for steps, said in ((1, "after step 1 of 3"), (4, "after step 2 of 3")):  # in the first stage, in the second
            StopAfter.steps = steps
            with pytest.raises(loop.Stopped, match=said):
                learn(tmp_path / "stopped")
    resumed = learn(tmp_path / "stopped")
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    for stage in ("8px", "64px"):
        lines = [metrics_log.read(tmp_path / run / stage / "metrics.jsonl") for run in ("whole", "stopped")]
        assert lines[0] == lines[1]
        assert [line["step"] for line in lines[0]] == [1, 2, 3]
        assert [line.get("psnr_held_out", 0.0) > 5.0 for line in lines[0]] == [False, False, True]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"resolutions": (64,)}, "of one length"),
        ({"resolutions": (64, 32)}, "must grow, and end with 64"),
        ({"num_steps": (3, 0)}, "num_steps must be each a whole number of at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number of at least 1"),
    ],
)
def test_an_invalid_config_is_refused_before_anything_is_written(config, tmp_path, changed, said):
    config.train.update(changed)
    with pytest.raises(ValueError, match=said):
        train_generator.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def sample_ws(generator, seed, n):
    """Latents, of one shape that all tests take some of."""
    return MAP(generator.mapping, np.random.default_rng(seed).normal(size=(512, 64)).astype(np.float32))[:n]


MAP = jax.jit(lambda mapping, z: mapping(z))
DRAW = jax.jit(lambda synthesis, ws: synthesis(ws, noise_mode="none"))


@pytest.fixture(scope="module")
def untouched():
    """A generator and a student, untrained."""
    config = make_config().generator

    @jax.jit
    def build():
        generator = sg2.Generator(**config.to_dict(), img_resolution=64, rngs=nnx.Rngs(0))
        return generator, distillation.make_student(64, config.synthesis_kwargs, 3)

    return build()


@pytest.fixture
def generator(untouched):
    return nnx.clone(untouched[0])


@pytest.fixture
def student(untouched):
    return nnx.clone(untouched[1])


@pytest.fixture(scope="module")
def truth(untouched):
    w = sample_ws(untouched[0], 1, 512)[:, 0]
    return Truth.create(jax.random.key(2), w, untouched[0].num_ws, make_config().curved.to_dict())


def test_what_is_bundled_can_be_loaded_and_its_card_tells_how_good_it_is(
    config, generator, student, truth, tmp_path, monkeypatch
):
    config.evaluation.num_faces = 32
    monkeypatch.setattr(distillation, "make_student", lambda *_: nnx.clone(student))
    for module in (assessment, train_generator):
        monkeypatch.setattr(module, "render", plain)
    weights = nnx.to_pure_dict(nnx.state(student, nnx.Param))
    train_generator.write_results(generator, truth, weights, config, jax.random.key(3), tmp_path)
    loaded = sg2.load(tmp_path / "faces64.safetensors")
    ws = sample_ws(generator, 4, 4)
    np.testing.assert_allclose(DRAW(loaded.synthesis, ws), DRAW(generator.synthesis, ws), atol=0.02)  # half precision
    again = Truth.load(tmp_path / "faces64_truth.safetensors")
    np.testing.assert_array_equal(again(ws).stack(), truth(ws).stack())
    card = json.loads((tmp_path / "faces64.json").read_text())
    assert 0.0 < card["psnr_held_out"] < 20.0  # it has learnt nothing
    assert card["r_squared_per_factor"].keys() == set(NAMES)
    assert card["config"]["train"]["batch_size"] == 8
    assert (tmp_path / "faces64.png").stat().st_size > 10_000


def test_the_finished_generator_draws_from_w_what_the_student_drew_from_projections(generator, student, truth):
    ws = sample_ws(generator, 4, 4)
    drawn = DRAW(student, distillation.layer_inputs(truth, ws))
    distillation.fold(generator, student, truth)
    np.testing.assert_allclose(jax.jit(generator.synthesis)(ws), drawn, atol=1e-3)
    assert np.std(drawn) > 0.01


def test_layers_learn_from_the_factors_that_they_own_alone(generator, truth):
    shown = np.asarray(distillation.layer_inputs(truth, sample_ws(generator, 4, 4)))
    assert shown.shape == (4, generator.num_ws, len(NAMES))
    np.testing.assert_array_equal(shown[0] != 0, truth.owners > 0)


@pytest.mark.slow
def test_the_card_of_the_bundled_generator_is_what_its_pictures_give():
    generator, truth = sg2.load(asset("faces64.safetensors")), Truth.load("faces64")
    scores = assessment.assess(generator, truth, jax.random.key(5), 256)
    card = json.loads(asset("faces64.json").read_text())
    assert scores["psnr_held_out"] == pytest.approx(card["psnr_held_out"], abs=0.5)
    assert scores["psnr_held_out_crossovers"] == pytest.approx(card["psnr_held_out_crossovers"], abs=0.5)
    assert scores["r_squared_read_by_judge_b"] == pytest.approx(card["r_squared_read_by_judge_b"], abs=0.05)


def asset(name):
    return Path(str(resources.files("disentangle_jax"))) / "assets" / name


def test_the_loss_is_zero_for_the_target_alone_and_larger_in_the_middle(config, pictures):
    target = pictures(np.random.default_rng(4).uniform(-1, 1, (2, len(NAMES))))
    middle, edge = target.copy(), target.copy()
    middle[:, 30:34, 30:34] += 0.2
    edge[:, :4, :4] += 0.2
    loss = jax.jit(lambda drawn, target: distillation.distillation_loss(drawn, target, config.loss))
    at_target, in_middle, at_edge = (float(loss(x, target)) for x in (target, middle, edge))
    assert at_target < 0.01
    assert in_middle > 1.5 * at_edge - 0.5 * at_target
