"""From a checkpoint in NVIDIA's format to a transfer, by the configs for published generators."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import jax
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax import Disentangler
from disentangle_jax.configs import ffhq256
from disentangle_jax.training import experiment

WRITERS = Path(__file__).parents[1] / "stylegan2_flax" / "checkpoints"


def written(path, resolution, load_module):
    """A generator of this resolution with 512 numbers a layer and next to no channels, as NVIDIA's code pickles it."""
    kwargs = {
        "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 2 * resolution, "channel_max": 4},
    }
    build = jax.jit(lambda: sg2.Generator(512, 0, 512, resolution, 3, **kwargs, rngs=nnx.Rngs(0)))
    writers, nvidia = (load_module(WRITERS / f"{name}.py") for name in ("writers", "writers_nvidia"))
    path.write_bytes(nvidia.TorchWriter(writers).file({"G_ema": build()}))
    return path


def train_and_transfer(load_module, name, resolution, tmp_path, **model):
    config = import_module(f"disentangle_jax.configs.{name}").get_config()
    config.generator = str(written(tmp_path / "network.pkl", resolution, load_module))
    config.directions.num_samples = 256
    config.model.update(model)
    config.optimizer.warmup_steps = 1
    config.train.update(batch_size=8, num_steps=2)
    state = experiment.run(config, tmp_path / "run")
    trained = Disentangler.load(tmp_path / "run")
    source, driving = jax.random.normal(jax.random.key(0), (2, trained.generator.num_ws, 512))
    moved = trained.transfer(source, driving)
    assert int(state.step) == 2
    assert moved.shape == source.shape
    assert np.isfinite(moved).all()
    assert trained.directions.vectors.shape == (12, trained.generator.num_ws, 512)
    return state


@jax.tree_util.register_static
class OfAnotherFramework:
    """Brightness of the halves of a picture, read outside JAX."""

    names, structure = ("left", "right"), ("left",)

    def __call__(self, images):
        shape = jax.ShapeDtypeStruct((len(images), 2), np.float32)
        return jax.pure_callback(lambda images: np.stack(self.read(np.asarray(images)), axis=1), shape, images)

    @staticmethod
    def read(images):
        middle = images.shape[2] // 2
        return images[:, :, :middle].mean((1, 2, 3)), images[:, :, middle:].mean((1, 2, 3))


@pytest.mark.slow
def test_a_scorer_of_any_framework_teaches_by_the_recipe_of_the_bundled_model(load_module, tmp_path, monkeypatch):
    module = ModuleType("scorers_of_photographs")
    vars(module).update(factory=OfAnotherFramework)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    config = ffhq256.get_config("scorer")
    config.generator = str(written(tmp_path / "network.pkl", 32, load_module))
    with pytest.raises(ValueError, match="unknown scorer 'say which, with --config"):
        experiment.run(config, tmp_path / "run")
    config.directions.update(scorer="scorers_of_photographs:factory", num_samples=64)
    config.readout.update(num_samples=64, num_moved=64, hidden=4, num_steps=2, batch_size=8)
    config.clips.stats_samples = 64
    config.model.update(SMALL)
    config.optimizer.warmup_steps = 1
    config.train.update(batch_size=8, num_steps=2)
    assert int(experiment.run(config, tmp_path / "run").step) == 2
    assert Disentangler.load(tmp_path / "run").directions.names == ("left",)


SMALL = {"appearance_dim": 8, "structure_dim": 4, "embed_dim": 4, "width": 16, "num_blocks": 1}


@pytest.mark.slow
def test_a_generator_of_1024_px(load_module, tmp_path):
    train_and_transfer(load_module, "ffhq1024", 1024, tmp_path, **SMALL)


@pytest.mark.slow
def test_an_autoencoder_of_full_size(load_module, tmp_path):
    state = train_and_transfer(load_module, "ffhq1024", 1024, tmp_path)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) > 25e6
