"""The step: which phase moves what, and when; the same on one device and on eight."""

import logging
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from stylegan2_flax.gan import data
from stylegan2_flax.gan import step as steps
from stylegan2_flax.gan.networks import make_discriminator, make_generator
from stylegan2_flax.gan.state import init_state, random_streams, split_graphdefs
from stylegan2_flax.gan.step import jit_phases, make_optimizers, make_train_step
from stylegan2_flax.optimizer import ema_decay
from stylegan2_flax.run import parallel


class Training:
    """A train step, its first state, its data."""

    def __init__(self, config, networks, mesh):
        optimizers, replicated = make_optimizers(config), parallel.replicated(mesh)
        start = partial(init_state, optimizers=optimizers, augment_p=config.augment.p)
        self.state = jax.jit(start, out_shardings=replicated)(*jax.device_put(networks, replicated))
        self.arguments = split_graphdefs(*networks), optimizers, mesh
        self.phases = jit_phases(config, *self.arguments)
        self.step = self.make_step(config)
        key, sharding = random_streams(config.seed).data, parallel.over_batch(mesh)
        images = data.open_images(config.data, config.resolution, 3)
        self.batches = images.batches(config.train.batch_size, key, sharding)

    def make_step(self, config):
        """A step of these phases, so that those of several configs are compiled once."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(steps, "jit_phases", lambda *_: self.phases)
            return make_train_step(config, *self.arguments)

    def run(self, steps, change=lambda state: state):
        """States after each step; `change` may alter what goes in."""
        states, state = [], self.start()
        for step in range(steps):
            state, _ = self.step(change(state), self.batches(step), step)
            states.append(jax.device_get(state))
        return states

    def start(self):
        """A copy of the first state, to be given up."""
        return jax.tree.map(jnp.copy, self.state)


@pytest.fixture(scope="module")
def networks(module_config):
    return make_generator(module_config), make_discriminator(module_config)


@pytest.fixture(scope="module")
def eight_devices(module_config, networks, mesh_of):
    """Five steps on eight devices: states after each, names of what was compiled, whether the first was given up."""
    training, names = Training(module_config, networks, mesh_of(8)), []
    handler = logging.Handler()
    handler.emit = lambda record: names.append(record.getMessage())
    logging.getLogger("jax").addHandler(handler)
    try:
        with jax.log_compiles():
            first = state = training.start()
            states = []
            for step in range(5):
                state, _ = training.step(state, training.batches(step), step)
                states.append(jax.device_get(state))
    finally:
        logging.getLogger("jax").removeHandler(handler)
    given_up = first.params["generator"]["synthesis"]["b4"]["const"].is_deleted()
    return SimpleNamespace(states=states, log="\n".join(names), given_up=given_up)


@pytest.fixture(scope="module")
def states(eight_devices):
    return eight_devices.states


@pytest.fixture(scope="module")
def training(module_config, networks, mesh_of):
    """On one device, where so little is computed sooner than on eight."""
    return Training(module_config, networks, mesh_of(1))


def changed(before, after):
    leaves = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return [not np.array_equal(a, b) for a, b in leaves]


def test_phases_come_in_their_intervals(states):
    """Path lengths every 2 steps, R1 every 4, from the first step on; each is an update of Adam of its own."""
    counts = [{name: int(total[1]) for name, total in state.totals.items()} for state in states]
    assert [count["Loss/G/loss"] for count in counts] == [1, 2, 3, 4, 5]
    assert [count["Loss/G/reg"] for count in counts] == [1, 1, 2, 2, 3]
    assert [count["Loss/D/reg"] for count in counts] == [1, 1, 1, 1, 2]
    assert [count["Loss/scores/fake"] for count in counts] == [2, 4, 6, 8, 10]
    updates = {name: int(states[-1].opt_state[name][0].count) for name in ("generator", "discriminator")}
    assert updates == {"generator": 5 + 3, "discriminator": 5 + 2}


def test_every_parameter_is_trained(training, states):
    """The noise strengths too, which start at 0."""
    for name in ("generator", "discriminator"):
        assert all(changed(training.state.params[name], states[-1].params[name]))


def test_average_copies_at_first_and_follows_then(module_config, states):
    """A new generator's average starts as a copy; later each step keeps `ema_decay` of it."""
    for a, b in zip(jax.tree.leaves(states[0].ema), jax.tree.leaves(states[0].params["generator"]), strict=True):
        np.testing.assert_array_equal(a, b)
    ema, batch = module_config.ema, module_config.train.batch_size
    decay = float(ema_decay(batch, ema.kimg, ema.rampup, 4 * batch))
    assert decay < 0.05  # after four batches the bound by `rampup` is short
    expected = jax.tree.map(lambda m, p: decay * m + (1 - decay) * p, states[3].ema, states[4].params["generator"])
    for a, b in zip(jax.tree.leaves(states[4].ema), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_mean_latent_moves_in_three_phases(training):
    """From a far start each phase takes 0.5% of the way: generator, path lengths, discriminator."""

    def far(state):
        mapping = jax.tree.map(lambda w_avg: w_avg + 1e4, state.buffers["generator"]["mapping"])
        return state._replace(buffers=state.buffers | {"generator": state.buffers["generator"] | {"mapping": mapping}})

    (state,) = training.run(1, far)
    np.testing.assert_allclose(state.buffers["generator"]["mapping"]["w_avg"], 1e4 * 0.995**3, atol=1.0)
    (again,) = training.run(1)
    others = [state.buffers["discriminator"], state.buffers["generator"]["synthesis"]]
    expected = [again.buffers["discriminator"], again.buffers["generator"]["synthesis"]]
    assert not any(changed(others, expected))


def test_augmentation_adapts_after_each_fourth_step(module_config, states):
    plan, batch = module_config.augment, module_config.train.batch_size
    ps = [float(state.augment_p) for state in states]
    assert ps[:3] == [ps[0]] * 3
    assert ps[0] == pytest.approx(0.2)
    overfits = float(states[3].totals["Loss/signs/real"][0]) / 4 > plan.target
    assert ps[3] - ps[2] == pytest.approx((1 if overfits else -1) * 4 * batch / (plan.kimg * 1000), rel=1e-3)
    assert float(states[2].signs) == pytest.approx(float(states[2].totals["Loss/signs/real"][0]))
    assert float(states[3].signs) == 0


def test_a_discriminator_alone_learns_to_tell(training):
    def hold(state):
        return state._replace(
            params=state.params | {"generator": jax.tree.map(jnp.copy, training.state.params["generator"])}
        )

    states = training.run(60, hold)
    losses = np.diff([float(state.totals["Loss/D/loss"][0]) for state in states])
    assert losses[-4:].mean() < 0.5 * losses[:4].mean()


def test_a_generator_alone_learns_to_fool(training):
    def hold(state):
        held = jax.tree.map(jnp.copy, training.state.params["discriminator"])
        return state._replace(params=state.params | {"discriminator": held})

    states = training.run(60, hold)
    losses = np.diff([float(state.totals["Loss/G/loss"][0]) for state in states])
    assert losses[-4:].mean() < 0.9 * losses[:4].mean()


def test_a_new_discriminator_may_learn_alone_at_first(config, training, monkeypatch):
    config.train.alone_kimg = 2 * config.train.batch_size / 1000
    monkeypatch.setattr(training, "step", training.make_step(config))
    late = training.run(3)
    before = training.state.params["generator"]
    assert [any(changed(before, state.params["generator"])) for state in late] == [False, False, True]
    assert any(changed(training.state.params["discriminator"], late[0].params["discriminator"]))


def test_each_phase_compiles_once_and_gives_up_its_state(eight_devices):
    for phase in ("generator_main", "generator_path_length", "discriminator_main", "discriminator_r1", "finish"):
        assert eight_devices.log.count(f"Compiling jit({phase})") == 1
    assert eight_devices.given_up


def test_one_device_and_eight_agree(training, states):
    """The raw gradients, which Adam's memory keeps; the groups of the minibatch deviation span the devices."""
    one, eight = training.run(1)[0], states[0]
    for name in ("generator", "discriminator"):
        for moment in ("mu", "nu"):
            a, b = (getattr(state.opt_state[name][0], moment) for state in (one, eight))
            scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(a))
            assert scale > 0
            for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5 * scale)
    for field in ("totals", "buffers", "path_length", "signs"):
        for x, y in zip(*(jax.tree.leaves(getattr(state, field)) for state in (one, eight)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_networks_compute_in_the_dtype_of_the_config(config, mesh_of):
    """From 8 px on, in every phase; parameters stay float32. What half precision costs is tested with the networks."""
    config.resolution, config.train.dtype, config.augment.mode, config.loss.style_mixing = 8, "bfloat16", "off", 0.0
    networks, optimizers = (
        nnx.eval_shape(lambda: (make_generator(config), make_discriminator(config))),
        make_optimizers(config),
    )
    state = jax.eval_shape(partial(init_state, optimizers=optimizers, augment_p=0.0), *networks)
    train_step = make_train_step(config, split_graphdefs(*networks), optimizers, mesh_of(8))
    step = jax.make_jaxpr(lambda state, images: train_step(state, images, 0), return_shape=True)
    jaxpr, (state, _) = step(state, jax.ShapeDtypeStruct((8, 8, 8, 3), jnp.float32))
    phases = [str(equation) for equation in jaxpr.eqns]
    assert [phase.count("bf16[") > 0 for phase in phases] == [True] * 4 + [False]
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.ema))} == {jnp.dtype("float32")}
