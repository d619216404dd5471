"""A small game: 4 px, four channels, and a package "tiny" that offers images, features and a generator to it."""

import sys

import jax
import pytest
from jax.sharding import AxisType

from disentangle_jax.configs import gan_faces64

RESOLUTION, BATCH = 4, 8

MODULE = '''
import jax
import jax.numpy as jnp
from flax import nnx
import stylegan2_flax as sg2

def images(resolution):
    """Squares of random grey on white."""
    def draw(key, n):
        shade = jax.random.uniform(key, (n, 1, 1, 3), minval=-1.0, maxval=0.0)
        inside = jnp.zeros((1, resolution, resolution, 1)).at[:, 1:3, 1:3].set(1.0)
        return 1.0 - inside * (1.0 - shade)
    return draw

def features():
    return jax.tree_util.Partial(lambda weights, x: x.reshape(len(x), -1)[:, ::4] @ weights, jnp.eye(12)[:, :6])

def generator():
    kwargs = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"channel_base": 32, "channel_max": 4}}
    return sg2.Generator(4, 0, 4, 4, 3, **kwargs, rngs=nnx.Rngs(7))
'''
ENTRY_POINTS = """
[stylegan2_flax.images]
tiny_images = tiny_offers:images
[stylegan2_flax.features]
tiny_features = tiny_offers:features
[stylegan2_flax.generators]
tiny_generator = tiny_offers:generator
"""


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """The package "tiny" as pip would leave it: a module and its metadata on the path, for this folder alone."""
    site = tmp_path_factory.mktemp("site")
    (site / "tiny_offers.py").write_text(MODULE)
    (site / "tiny-1.0.dist-info").mkdir()
    (site / "tiny-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (site / "tiny-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    sys.path.insert(0, str(site))
    yield
    sys.path.remove(str(site))
    sys.modules.pop("tiny_offers", None)


def make_config():
    config = gan_faces64.get_config("scratch")
    config.resolution = RESOLUTION
    config.data.source = "tiny_images"
    config.generator.update(z_dim=4, w_dim=4)
    config.generator.mapping_kwargs.num_layers = 1
    config.generator.synthesis_kwargs.update(channel_base=32, channel_max=4)
    config.discriminator.update(channel_base=32, channel_max=4)
    for network in ("generator", "discriminator"):
        config.optimizer[network].learning_rate = 0.01
    config.loss.path_length.interval = 2
    config.loss.r1.interval = 4
    config.augment.update(mode="ada", pipeline="blit", p=0.2)
    config.train.update(batch_size=BATCH, total_kimg=10 * BATCH / 1000, log_kimg=2 * BATCH / 1000)
    config.train.checkpoint_kimg = 5 * BATCH / 1000
    config.snapshot.update(kimg=5 * BATCH / 1000, rows=2, columns=3)
    config.score.update(features="tiny_features", kimg=5 * BATCH / 1000, num_samples=32, batch_size=16)
    return config


@pytest.fixture
def config():
    return make_config()


@pytest.fixture(scope="module")
def module_config():
    """The same, not to be changed."""
    return make_config()


@pytest.fixture(scope="session")
def mesh_of():
    """A mesh of the first so many devices."""
    return lambda n: jax.make_mesh((n,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:n])
