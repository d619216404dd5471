"""Clips have the same bits however many devices make them, whatever the batch, under jit as under pmap."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.clips import Clip, ClipSource, sample_clip
from disentangle_jax.clips.streams import GeneratedClips, open_stream, sample_clips, sample_tiles
from disentangle_jax.directions import Directions
from disentangle_jax.directions.readout import Network, Readout
from stylegan2_flax.run import parallel

# XLA's default code: what the tests compile fastest sums in another order where a tile is not whole.
OPTIONS = {"xla_cpu_use_fusion_emitters": True} if "fusion_emitters" in os.environ["XLA_FLAGS"] else {}
KEY = jax.random.key(7)
TILE = 4


def mesh_of(devices):
    return jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])


def indices_of(batch):
    return np.arange(1000, 1000 + batch, dtype=np.uint32)


def clips_of(source, devices, batch, then=lambda clips: clips):
    mesh = mesh_of(devices)
    sharding = parallel.over_batch(mesh)
    make = jax.jit(
        lambda source, i: then(sample_clips(sample_clip, source, KEY, i, sharding, TILE)), compiler_options=OPTIONS
    )
    return make(jax.device_put(source, parallel.replicated(mesh)), jax.device_put(indices_of(batch), sharding))


def assert_same(clips, others):
    for one, other in zip(clips, others, strict=True):
        n = min(len(one), len(other))
        np.testing.assert_array_equal(one[:n], other[:n])


def normal(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


class Purified(NamedTuple):
    source: ClipSource
    purifier: Callable


@pytest.fixture(scope="module")
def source(untrained, clip_config):
    """Wide enough for XLA to take products of different sizes by different routes."""
    sizes: dict[str, Any] = {
        "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
    }
    generator = untrained(lambda rngs: sg2.Generator(z_dim=64, w_dim=64, img_resolution=16, **sizes, rngs=rngs))
    vectors = jnp.asarray(normal(7, 6, 64) / 20)
    return ClipSource.create(generator, Directions(vectors, vectors, jnp.zeros((6, 64)), tuple("abcdefg")), clip_config)


@pytest.fixture(scope="module")
def clips(source):
    """32 clips from one device."""
    return clips_of(source, 1, 32)


@pytest.mark.parametrize(
    ("devices", "batch"),
    [(2, 32), (8, 16), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in [(8, 64), (1, 8)])],
)
def test_the_same_bits_from_any_number_of_devices_and_in_any_batch(source, clips, devices, batch):
    """8 x 16 is half a tile a device, 1 x 8 two tiles."""
    made = clips_of(source, devices, batch)
    assert len(made.ws.sharding.device_set) == devices
    assert made.ws.sharding.shard_shape(made.ws.shape)[0] == batch // devices
    assert_same(clips, made)


def test_the_same_bits_where_a_readout_moves_every_layer(source, clips):
    vectors = jnp.broadcast_to(source.directions.vectors[:, :1], source.directions.vectors.shape)
    directions = replace(source.directions, vectors=vectors, normals=vectors / 6)
    shapes = Network.shapes(6, 64, 16, 9)
    network = Network(**{name: jnp.asarray(normal(*shape) / 8) for name, shape in shapes.items()})
    names = tuple("abcdefgxy")
    readout = Readout(network, jnp.zeros(64), jnp.asarray(normal(9, 64) / 8), names, names[:7], 0.3, (), "")
    config = source.config._replace(motion="readout", layers="each", jitter=0.1)
    moved = replace(source, directions=directions, readout=readout, config=config)
    whole = clips_of(moved, 1, 16)
    assert np.abs(np.asarray(whole.ws) - np.asarray(clips.ws)[:16]).max() > 0.1
    assert_same(whole, clips_of(moved, 8, 16))


def test_the_same_bits_from_pmap(source, clips):
    leaves, structure = jax.tree.flatten(source)

    def sample(leaves, i):
        return sample_tiles(sample_clip, jax.tree.unflatten(structure, leaves), KEY, i, TILE)

    arguments = leaves, indices_of(32).reshape(8, 4)
    made = jax.pmap(sample, in_axes=(None, 0)).lower(*arguments).compile(OPTIONS)(*arguments)
    assert_same(clips, jax.tree.map(lambda x: np.asarray(x).reshape(32, *x.shape[2:]), made))


def test_the_same_bits_whatever_becomes_of_the_clips(source, clips):
    """One round a device, whose loop XLA unrolls, followed by a product that it could merge with the clips' own."""
    weights = normal(64, 64)
    made, _ = clips_of(source, 8, 32, lambda clips: (clips, jnp.tanh(clips.ws @ weights).sum(0)))
    assert_same(clips, made)


def test_a_purifier_sees_whole_tiles(source):
    """It is a batched function of clips, and runs within the tile, so that its bits do not depend on devices either."""

    seen = []

    def purifier(clips):
        seen.append(len(clips.ws))
        return clips._replace(augmented=clips.ws)

    def sample(source, key):
        ws = jax.random.normal(key, (3, 6, 8))
        return Clip(ws, -ws, ws[:, 0, :2])

    make = jax.jit(lambda source: sample_tiles(sample, source, KEY, jnp.asarray(indices_of(6)), TILE))
    made, plain = make(Purified(source, jax.tree_util.Partial(purifier))), make(source)
    assert set(seen) == {TILE}
    np.testing.assert_array_equal(made.augmented, made.ws)
    np.testing.assert_array_equal(made.ws, plain.ws)
    np.testing.assert_array_equal(made.coefficients, plain.coefficients)
    assert not np.array_equal(plain.augmented, plain.ws)


def test_steps_follow_one_another_without_overlap(source, clips):
    stream = GeneratedClips(sample_clip, source, KEY, 8, mesh_of(1), TILE)
    make = jax.jit(stream.clips, compiler_options=OPTIONS)
    steps = [make(stream.fetch(n), jnp.array(n)) for n in (125, 126)]  # the first clip of all is number 1000
    assert_same(clips, jax.tree.map(lambda *x: np.concatenate(x), *steps))


def test_tiles_of_no_clips_are_refused(source):
    with pytest.raises(ValueError, match=r"data\.tile is 0, but clips are made at least 1 at a time"):
        sample_tiles(sample_clip, source, KEY, jnp.asarray(indices_of(8)), 0)


def test_unknown_source_is_refused(source):
    config = ConfigDict({"data": {"source": "video"}})
    with pytest.raises(ValueError, match=r"unknown data\.source 'video': choose from generated, stored"):
        open_stream(config, source, KEY, mesh_of(1))
