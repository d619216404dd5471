"""A small world to train in: Gaussian latents of four layers, moved along two directions; tiny sizes everywhere."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from disentangle_jax.clips import Clip
from disentangle_jax.clips.streams import GeneratedClips
from disentangle_jax.configs import faces64
from disentangle_jax.directions.readout import Network, Readout
from disentangle_jax.model import Autoencoder
from disentangle_jax.training.objective import Frozen
from disentangle_jax.training.optimizer import make_optimizer
from disentangle_jax.training.random_streams import random_streams
from disentangle_jax.training.step import make_value_and_grad
from disentangle_jax.training.trainer import make_trainer
from stylegan2_flax.run import parallel
from stylegan2_flax.run.loop import Schedule
from stylegan2_flax.run.loop import train as train_loop
from stylegan2_flax.run.train_state import graphdef, init_state

collect_ignore_glob = ["*worker.py"]  # programs: importing them for doctests would run them

# No size is a multiple of the eight devices: of such arrays each would write its slice, by a program for every slice.
LAYERS, W_DIM, DIRECTIONS, FRAMES = 4, 6, 2, 3


def sample_clip(source, key):
    sizes = np.cumsum([LAYERS * W_DIM, FRAMES * DIRECTIONS, W_DIM])
    base, coefficients, fine, _ = jnp.split(jax.random.normal(key, (sizes[-1],)), sizes)  # one draw compiles fastest
    coefficients = coefficients.reshape(FRAMES, DIRECTIONS)
    ws = base.reshape(1, LAYERS, W_DIM) + jnp.einsum("tk,kld->tld", coefficients, source)
    return Clip(ws, ws.at[:, 2:].add(jnp.broadcast_to(fine[None, None], (FRAMES, 2, W_DIM))), coefficients)


def make_world():
    source = np.random.default_rng(1).normal(size=(DIRECTIONS, LAYERS, W_DIM))
    shape = (LAYERS, W_DIM)
    return sample_clip, *(jnp.asarray(x, jnp.float32) for x in (source, np.zeros(shape), np.ones(shape)))


@pytest.fixture(scope="session")
def world():
    """How clips are made and what of, and the mean and spread of their latents."""
    return make_world()


def train_world(config, workdir, world):
    """Train in a world, on all devices."""
    sample_clip, source, mean, std = world
    mesh = parallel.make_mesh(config.train.batch_size, config.train.accumulate)
    placed = jax.device_put(source, parallel.replicated(mesh))
    stream = GeneratedClips(
        sample_clip, placed, random_streams(config.seed).clips, config.train.batch_size, mesh, config.data.tile
    )
    return train_loop(make_trainer(config, stream, mean, std, Frozen()), Schedule.of(config.train), workdir)


@pytest.fixture(scope="session")
def train():
    return train_world


def start_of(config, mean, std, optimizer):
    """The state before the first step, on the host: one program makes it for any devices."""

    def create(mean, std):
        return Autoencoder(mean, std, **config.model, rngs=nnx.Rngs(jax.random.key(0)))

    init = jax.jit(lambda mean, std: init_state(lambda: create(mean, std), optimizer))
    mean, std = map(np.asarray, (mean, std))
    return jax.device_get(init(mean, std)), graphdef(lambda: create(jnp.asarray(mean), jnp.asarray(std)))


def place(state, mesh):
    """The same on every device of a mesh, which may be those of several processes."""
    replicated = parallel.replicated(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(x.shape, replicated, lambda index: np.array(x[index])), state
    )


@pytest.fixture(scope="session")
def starting_state():
    """The state before the first step on the devices of a mesh, and the autoencoder's graphdef."""

    def start(config, mean, std, optimizer, mesh):
        state, definition = start_of(config, mean, std, optimizer)
        return place(state, mesh), definition

    return start


def make_readout():
    """A readout of three factors by four hidden units, with weights at random."""
    shapes = Network.shapes(LAYERS, W_DIM, 4, 3)
    keys = dict(zip(shapes, jax.random.split(jax.random.key(7), len(shapes)), strict=True))
    network = Network(**{name: 0.5 * jax.random.normal(keys[name], shape) for name, shape in shapes.items()})
    return Readout(network, jnp.zeros(W_DIM), jnp.zeros((3, W_DIM)), ("a", "b", "c"), ("b", "c"), 0.1, (0.0,) * 3, "")


@pytest.fixture(scope="session")
def readout():
    return make_readout()


def gradient_of_world(mesh, config, world):
    """Value and raw gradient of the loss on the clips of the first step, that of factors among the terms."""
    config = config.copy_and_resolve_references()
    sample_clip, source, mean, std = world
    replicated = parallel.replicated(mesh)
    key = random_streams(config.seed).clips
    placed = jax.device_put(source, replicated)
    stream = GeneratedClips(sample_clip, placed, key, config.train.batch_size, mesh, config.data.tile)

    config.loss.weights.factors = 0.5
    state, definition = start_of(config, mean, std, make_optimizer(config.optimizer, lambda step: 0.0))
    # Away from the start, where the zeros of the decoder hide most gradients.
    unembed = state.params["decoder"]["unembed"]
    unembed["kernel"] = np.random.default_rng(5).normal(size=unembed["kernel"].shape).astype(np.float32)
    gradient = make_value_and_grad(config, definition, stream)
    start = place((state.params, state.buffers, state.step), mesh)
    frozen = Frozen(readout=place(make_readout(), mesh))
    # XLA's default code, which sums more exactly than what the tests compile fastest.
    options = {"xla_cpu_use_fusion_emitters": True} if "fusion_emitters" in os.environ["XLA_FLAGS"] else {}
    gradient = jax.jit(gradient, out_shardings=replicated, compiler_options=options)
    (value, terms), grads = gradient(*start, stream.fetch(0), frozen)
    assert terms["factors"] > 0
    return value, grads


@pytest.fixture(scope="session")
def gradient_on():
    return gradient_of_world


@pytest.fixture(scope="session")
def assert_same():
    """Two trees of arrays are equal, bit by bit."""

    def check(one, other):
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)

    return check


@pytest.fixture(scope="session")
def ten_steps(shared_config, world, tmp_path_factory):
    """A run of ten steps that was never stopped: its workdir and its last state."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train_world(shared_config, workdir, world)


def make_config():
    config = faces64.get_config("demo,linear")
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=3, width=12, num_blocks=0)
    config.optimizer.update(warmup_steps=3, learning_rate=1e-2)
    config.train.update(batch_size=8, num_steps=10, log_every=2, checkpoint_every=5)
    return config


@pytest.fixture
def config():
    return make_config()


@pytest.fixture(scope="session")
def shared_config():
    """The same, not to be changed."""
    return make_config()
