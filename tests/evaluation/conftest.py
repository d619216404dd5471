"""Two small worlds: one with a truth and an all but perfect model, one without, for an untrained one."""

from dataclasses import dataclass, replace
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.configs import faces64
from disentangle_jax.directions import Directions
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.directions.readout import Network, Readout
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain
from disentangle_jax.faces import NAMES, STRUCTURE
from disentangle_jax.faces.domain import ParametricFaces, pose_by_truth
from disentangle_jax.faces.truth import Truth
from disentangle_jax.latents import sample_ws
from disentangle_jax.model import Autoencoder, Codes
from stylegan2_flax.run import metrics_log

LAYERS, W_DIM, SIDE = 10, 64, 8
SIZES = {
    "batch_size": 16,
    "num_pairs": 60,
    "num_selection_pairs": 40,
    "num_readout_faces": 300,
    "motion": {"num_clips": 4, "num_frames": 6},
    "probes": {"num_faces": 60, "num_frames": 4},
    "retrieval": {"num_faces": 8, "num_frames": 6},
    "pictures": {"num_sources": 2, "num_drivings": 3, "num_pairs": 2, "num_clips": 1},
}


@pytest.fixture(scope="session")
def truth():
    """One without curvature, so that there is a latent for every face in every pose."""
    w = sample_ws(_mapping(), jax.random.key(0), 2000, 1.0)[:, 0]
    share = 0.35**2 / (1.0 + 0.35**2)
    curved = {"pose": share, "expression": share, "appearance": share}
    truth = Truth.create(jax.random.key(1), w, LAYERS, curved)
    return replace(truth, partners=jnp.zeros_like(truth.partners))  # in the units of the recorded metrics


@pytest.fixture(scope="session")
def domain(truth):
    """Pictures that hold the factors linearly, and a judge that reads them without error."""
    mixing = np.linalg.qr(np.random.default_rng(0).normal(size=(3 * SIDE**2, len(NAMES))))[0].astype(np.float32)
    return JudgedDomain(MixedFactors(truth, mixing=mixing), Unmix(jnp.asarray(mixing)), SIDE)


@dataclass(frozen=True, eq=False)
class MixedFactors(ParametricFaces):
    """The faces' factors, drawn as a linear mixture."""

    mixing: Any = None

    def render(self, factors, resolution):
        return (factors @ self.mixing.T).reshape(-1, resolution, resolution, 3)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Unmix:
    """A scorer that undoes the mixture."""

    names = NAMES
    structure = STRUCTURE
    mixing: Any

    def __call__(self, images):
        return images.reshape(len(images), -1) @ self.mixing


@pytest.fixture(scope="session")
def perfect(domain):
    return Perfect(domain)


class Perfect(Disentangler):
    """The latent is the appearance code, its true structure the structure code, and the truth decodes."""

    def __init__(self, domain):
        self.domain = domain
        self.config = faces64.get_config("demo,linear")
        self.config.evaluation.update(SIZES)
        population = sample_ws(_mapping(), jax.random.key(2), 1000, 1.0)
        self.directions = from_scores(population, domain.truth(population).stack(), NAMES, STRUCTURE, 1e-3)
        self.readout = exact_readout(domain.domain.known)
        self.generator = SimpleNamespace(mapping=_mapping(), num_ws=LAYERS, w_dim=W_DIM, img_resolution=SIDE)

    def encode(self, ws):
        return Codes(jnp.asarray(ws).reshape(*ws.shape[:-2], -1), self.domain.truth(jnp.asarray(ws)).structure)

    def decode(self, appearance, structure):
        return _decode(self.domain.domain.known, appearance, structure)

    def render(self, ws):
        return self.domain.draw(self.domain.truth(jnp.asarray(ws)))


def exact_readout(truth):
    """A readout of a truth that is linear but for the error function, and needs no hidden units."""
    axes = jnp.einsum("fd,de->fe", truth.p, truth.whiten)
    linear = jnp.einsum("lf,fd->ldf", truth.owners, axes)
    zeros = jnp.zeros(len(NAMES))
    network = Network(linear, jnp.zeros((W_DIM, 1)), jnp.zeros((LAYERS, 1)), jnp.zeros(1), zeros[None], zeros)
    moves = jnp.linalg.pinv(axes).T
    return Readout(network, truth.mean, moves, NAMES, STRUCTURE, 1e-3, (1.0,) * len(NAMES), "")


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, untrained):
    """A folder with a model of a tiny generator that nothing is known about, and the record of its training."""
    folder = tmp_path_factory.mktemp("run")
    write_untrained(untrained, folder)
    for step in (1, 2, 3):
        metrics_log.append(folder / "metrics.jsonl", step, {"loss": 1 / step, "swap": 0.5})
    return folder


@pytest.fixture(scope="session")
def export_untrained(untrained):
    return partial(write_untrained, untrained)


def write_untrained(untrained, folder, resolution=8, c_dim=0, channels=3):
    """An untrained model of such a generator, with two directions."""
    config = faces64.get_config("demo,linear")
    config.generator = "a user's own"
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=1)
    config.evaluation.update(SIZES)
    w_dim, sizes = 8, {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 64, "channel_max": 8}}
    layers = 2 * int(np.log2(resolution)) - 2
    mean, std = jnp.zeros((layers, w_dim)), jnp.ones((layers, w_dim))

    generator = untrained(lambda rngs: sg2.Generator(16, c_dim, w_dim, resolution, channels, **sizes, rngs=rngs))
    autoencoder = jax.jit(lambda key: Autoencoder(mean, std, **config.model, rngs=nnx.Rngs(key)))(jax.random.key(0))
    vectors = jnp.asarray(np.eye(layers * w_dim, dtype=np.float32).reshape(-1, layers, w_dim)[:2])
    Disentangler(autoencoder, generator, Directions(vectors, vectors, mean, ("x", "y")), config).export(folder)


@jax.jit
def _decode(truth, appearance, structure):
    ws = appearance.reshape(-1, LAYERS, W_DIM)
    posed = jax.vmap(partial(pose_by_truth, truth))(ws, structure.reshape(len(ws), -1))
    return posed.reshape(*appearance.shape[:-1], LAYERS, W_DIM)


@cache
def _mapping():
    return sg2.MappingNetwork(W_DIM, 0, W_DIM, LAYERS, num_layers=1, rngs=nnx.Rngs(0))
