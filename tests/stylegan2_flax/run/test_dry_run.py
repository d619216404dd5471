"""What is told of a step's needs is what its programs need."""

import jax
import jax.numpy as jnp
import pytest

from stylegan2_flax.run import dry_run, parallel
from stylegan2_flax.run.dry_run import Needs, Program

SIDE = 128


@pytest.fixture(scope="module")
def programs():
    """A product of which each device computes a part, in every step, and one that all compute, in every fourth."""
    mesh = parallel.make_mesh(8)
    whole = jax.ShapeDtypeStruct((SIDE, SIDE), jnp.float32, sharding=parallel.replicated(mesh))
    split = jax.ShapeDtypeStruct((SIDE, SIDE), jnp.float32, sharding=parallel.over_batch(mesh))
    multiply = jax.jit(lambda a, b: a @ b, donate_argnums=0)
    return mesh, {"split": Program(multiply.lower(split, whole)), "whole": Program(multiply.lower(whole, whole), 0.25)}


def test_memory_and_operations_are_those_of_one_device(programs):
    mesh, (split, whole) = programs[0], (Needs.of(program) for program in programs[1].values())
    square = 4 * SIDE**2
    assert split.arguments == square + square // mesh.size
    assert whole.arguments == 2 * square
    assert whole.outputs == 0  # it takes the place of the donated argument
    assert whole.memory == 2 * square + whole.temporaries
    assert (split.flops, whole.flops) == (2 * SIDE**3 / mesh.size, 2 * SIDE**3)


def test_operations_are_those_of_a_mean_step(programs):
    state = {"weights": jax.ShapeDtypeStruct((10, 100), jnp.float32), "step": jax.ShapeDtypeStruct((), jnp.int32)}
    text = dry_run.report(state, state["weights"], programs[1], programs[0], 64, "clips")
    assert f"{2 * SIDE**3 * (1 / 8 + 1 / 4) / 1e9:.3g} GFLOP a step on each device" in text
    assert "64 clips a step, 8 on each device" in text
    assert "1,000: 0.0 MB" in text
    assert "the devices do not tell" in text


def test_what_a_device_has_no_room_for_is_refused(programs, monkeypatch):
    needed = max(Needs.of(program).memory for program in programs[1].values())
    monkeypatch.setattr(dry_run, "device_memory", lambda: needed)
    assert "MB on each device" in dry_run.report({}, {}, programs[1], programs[0], 64, "clips").splitlines()[-1]
    monkeypatch.setattr(dry_run, "device_memory", lambda: needed - 1)
    with pytest.raises(MemoryError, match=r"whole needs 0\.2 MB on each device, which has 0\.2 MB"):
        dry_run.report({}, {}, programs[1], programs[0], 64, "clips")
