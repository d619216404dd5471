"""The train step on one device and on eight: the same clips, the same gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.clips.streams import GeneratedClips
from disentangle_jax.training.objective import Frozen, objective
from disentangle_jax.training.optimizer import make_optimizer, make_schedule
from disentangle_jax.training.random_streams import random_streams
from disentangle_jax.training.step import Advance, make_train_step
from stylegan2_flax.run import parallel
from stylegan2_flax.run.train_state import update_ema

COMPILATION = "/jax/core/compile/backend_compile_duration"
NO_NETWORKS = Frozen()


@pytest.fixture(scope="module")
def generator():
    sizes: dict[str, Any] = {
        "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
    }
    return jax.jit(lambda key: sg2.Generator(16, 0, 6, 8, **sizes, rngs=nnx.Rngs(key)))(jax.random.key(0))


def mesh_of(devices):
    return jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])


def stream_of(config, sample_clip, source, mesh):
    placed = jax.device_put(source, parallel.replicated(mesh))
    return GeneratedClips(
        sample_clip, placed, random_streams(config.seed).clips, config.train.batch_size, mesh, config.data.tile
    )


@pytest.fixture(scope="module")
def on_one_device(shared_config, world, gradient_on):
    """Loss and gradient, in float32."""
    return gradient_on(mesh_of(1), shared_config, world)


def assert_close(grads, others):
    for one, other in zip(*map(jax.tree.leaves, (grads, others)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 * max(1.0, np.abs(one).max()))


def test_loss_and_raw_gradient_are_the_same_on_one_device_and_on_eight(config, world, gradient_on, on_one_device):
    (value, grads), (value8, grads8) = on_one_device, gradient_on(mesh_of(8), config, world)
    np.testing.assert_allclose(value, value8, rtol=1e-6)
    assert_close(grads, grads8)


def test_a_batch_in_parts_gives_the_same_gradient_where_clips_are_not_compared(config, world, gradient_on):
    for name in ("appearance_contrast", "structure_contrast", "appearance_ratio", "structure_ratio"):
        config.loss.weights[name] = 0.0
    config.train.batch_size = 16
    whole = gradient_on(mesh_of(2), config, world)
    config.train.accumulate = 4
    assert_close(whole, gradient_on(mesh_of(2), config, world))
    with pytest.raises(ValueError, match=r"batch_size is 16.* 8 devices and 4 parts \(train.accumulate\).* of 32"):
        parallel.make_mesh(16, 4)


def test_half_precision_stays_close(config, world, gradient_on, on_one_device):
    """In the trunks alone: parameters and their gradients are float32."""
    value, grads = on_one_device
    config.model.dtype = "bfloat16"
    half_value, half_grads = gradient_on(mesh_of(1), config, world)
    assert 0 < abs(half_value - value) < 0.01 * value
    kernel, half_kernel = (np.asarray(g["encoder"]["trunk"]["dense"]["kernel"]) for g in (grads, half_grads))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(half_grads))
    assert 0 < np.linalg.norm(half_kernel - kernel) < 0.05 * np.linalg.norm(kernel)


@pytest.fixture
def make_step(config, world, starting_state):
    """The step, a state and the fetched, all on eight devices."""

    def make(world=world, frozen=NO_NETWORKS):
        sample_clip, source, mean, std = world
        mesh, schedule = mesh_of(8), make_schedule(config.optimizer, config.train.num_steps)
        optimizer = make_optimizer(config.optimizer, schedule)
        state, definition = starting_state(config, mean, std, optimizer, mesh)
        stream = stream_of(config, sample_clip, source, mesh)
        step = make_train_step(config, definition, optimizer, schedule, stream, mesh, frozen)
        return step, state, stream.fetch(0)

    return make


def test_step_compiles_once_gives_up_its_state_and_learns(config, make_step):
    """Ten steps on the clips of the first, over and over."""
    step, state, source = make_step()
    old, losses = state, []
    for _ in range(config.train.num_steps):
        start = jax.device_put(np.int32(0), state.step.sharding)
        state, metrics = step(state._replace(step=start), source, [])
        losses.append(float(metrics["loss"]))
    assert step._cache_size() == 1  # pyright: ignore[reportAttributeAccessIssue]
    assert old.params["decoder"]["spread"]["kernel"].is_deleted()
    assert int(state.step) == 1
    assert losses[-1] < 0.95 * losses[0]


def learn_in_blocks(config):
    """Contrasts in blocks and learnt temperatures, which two tests try by one program."""
    config.model.learn_temperature = True
    config.loss.structure_contrast.temperature = 0.005
    for name in ("appearance_contrast", "structure_contrast"):
        config.loss[name].block_size = 8


@pytest.mark.parametrize("block_size", [0, 8])
def test_devices_exchange_codes_and_gradients_and_nothing_else(config, make_step, block_size, collectives):
    if block_size:
        learn_in_blocks(config)
    step, state, source = make_step()
    sent = collectives(step.lower(state, source, []).compile())
    frames, width = config.train.batch_size * 3, config.model.appearance_dim + 2 * config.model.structure_dim
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    gathered = [size for name, size in sent if name == "all-gather"]
    summed = [size for name, size in sent if name == "all-reduce"]
    assert len(sent) == len(gathered) + len(summed)  # none of another kind, nor within a loop
    # Of each frame both codes, the augmented one's structure, twice its two coefficients; in blocks, three numbers for
    # each of the three.
    assert sum(gathered) <= frames * (width + 2 * 2 + (3 * 3 if block_size else 0))
    # Every gradient once, that by the gathered codes unless in blocks, the means of both codes, and some losses.
    means = config.model.appearance_dim + config.model.structure_dim
    assert sum(summed) <= parameters + (0 if block_size else frames * width) + means + 20
    assert (len(gathered), len(summed)) <= ((9, 6) if block_size else (3, 6))


def test_learnt_temperatures_start_from_the_config_and_move(config, make_step):
    learn_in_blocks(config)
    step, state, source = make_step()
    assert state.params["log_temperature"].shape == (2,)
    state, first = step(state, source, [])
    last = first
    for _ in range(config.train.num_steps):
        state, last = step(state, source, [])
    assert first["appearance_contrast_temperature"] == pytest.approx(0.1)
    assert abs(last["appearance_contrast_temperature"] - 0.1) > 1e-3
    # It began below the least, was raised to it, and rises from there.
    assert first["structure_contrast_temperature"] == pytest.approx(0.005)
    assert 0.01 < last["structure_contrast_temperature"] < 0.012


def test_generator_is_compiled_into_the_step_only_when_asked_for(config, make_step, generator):
    step, state, source = make_step()
    assert "convolution" not in step.lower(state, source, []).as_text()
    config.loss.weights.image = 1.0
    frozen = Frozen(generator.synthesis)
    step, state, source = make_step(frozen=frozen)
    assert "convolution" in step.lower(state, source, jax.tree.leaves(frozen)).as_text()


@pytest.mark.parametrize("name", ["image", "factors"])
def test_losses_reach_the_decoder_through_frozen_networks(config, generator, readout, starting_state, name):
    config.loss.weights = ConfigDict({other: float(other == name) for other in config.loss.weights})
    frozen = Frozen.of(config.loss.weights, generator.synthesis, readout)
    assert sum(network is not None for network in frozen) == 1  # what no loss needs is not compiled
    ws = np.random.default_rng(0).normal(size=(2, 2, generator.num_ws, generator.w_dim)).astype(np.float32)
    optimizer = make_optimizer(config.optimizer, lambda step: 0.0)
    state, definition = starting_state(config, ws.mean((0, 1)), ws.std((0, 1)), optimizer, mesh_of(1))

    def loss(params, ws, frozen):
        autoencoder = nnx.merge(definition, params, state.buffers)
        return objective(autoencoder, ws, ws, ws[..., 0, :2], jnp.array(1), config.loss, frozen)

    (value, parts), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(state.params, ws, frozen)
    assert value == parts[name] > 0
    assert np.abs(grads["decoder"]["unembed"]["kernel"]).max() > 0


def test_clips_of_one_frame_are_refused(world, make_step):
    def sample_frame(source, key):
        return jax.tree.map(lambda x: x[:1], world[0](source, key))

    step, state, source = make_step((sample_frame, *world[1:]))
    with pytest.raises(ValueError, match="at least 2 frames"):
        step(state, source, [])


def test_the_step_of_a_loop_is_compiled_once_and_refuses_what_would_need_another_or_slips_to_the_devices(
    config, world, readout, make_step
):
    frozen = jax.device_put(Frozen(readout=readout), parallel.replicated(mesh_of(8)))
    step, state, _ = make_step(frozen=frozen)
    stream = stream_of(config, world[0], world[1], mesh_of(8))
    compiled = []

    def listen(event, duration_secs, **about):
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    advance = Advance(step, stream, frozen)
    state, _ = advance(state, 1)
    first = compiled.count(COMPILATION)
    for number in (2, 3):
        state, _ = advance(state, number)
    jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled.count(COMPILATION) == first > 0
    with pytest.raises(TypeError, match="compiled"):
        advance(state._replace(step=jnp.zeros((2,), jnp.int32)), 4)
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        advance(state._replace(step=np.int32(1)), 4)


def test_batch_that_does_not_spread_over_the_devices_is_refused():
    with pytest.raises(ValueError, match=r"batch_size is 12,.*8 devices.*multiple of 8"):
        parallel.make_mesh(12)


def test_average_forgets_its_start():
    update, average = jax.jit(lambda ema, step: update_ema(ema, jnp.ones(()), step, 0.999)), np.float32(0)
    for step in range(50):
        average = update(average, np.int32(step))
    assert average > 0.99
    late = update(np.float32(0), np.int32(10**6))
    np.testing.assert_allclose(late, 0.001, rtol=1e-3)
