"""Devices: one mesh with one axis, over which the examples of a batch are spread; everything else is replicated.

The step is plain `jax.jit` over these shardings: XLA puts in the collectives, and the losses see the global batch. With
several processes the mesh spans the devices of all: each process computes its part of the batch.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from jax._src import distributed  # where it says what it waits for
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

PATIENCE = 150
"""Seconds in which all processes must have joined."""

_SOON = 2.0  # seconds, after which a process says what it waits for


def join(
    distributed: bool | None = None,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Make this process one of several, before JAX computes anything.

    Args:
        distributed: True asks for a cluster (Cloud TPU, Slurm, Open MPI, Kubernetes) and fails where there is none;
            None takes one if there is one; False leaves this process alone.
        coordinator: HOST:PORT of process 0, where no cluster tells.
        num_processes, process_id: likewise, how many there are and which this is, from 0.

    Raises:
        ValueError: a cluster is asked for and there is none, or only a part of the last three is given.
    """
    by_hand = (coordinator, num_processes, process_id)
    given = [value is not None for value in by_hand]
    if distributed is False and any(given):
        raise ValueError("a coordinator is named, but several processes are not wanted: leave one of the two out")
    if any(given) and not all(given):
        raise ValueError(
            "processes that are started by hand need all three: the coordinator's HOST:PORT, how many processes there "
            f"are, and which this is; got {by_hand}"
        )
    if distributed is False:
        return
    try:
        with _announced():
            jax.distributed.initialize(*by_hand, initialization_timeout=2 * PATIENCE, heartbeat_timeout_seconds=40)
    except ValueError as error:
        if any(given):
            raise
        if distributed:
            raise ValueError(
                "several processes are asked for, but JAX detects no cluster that tells of them: name the coordinator, "
                "their number and this one's by hand"
            ) from error


@contextmanager
def _announced() -> Iterator[None]:
    """Say what is waited for while the processes join; exit with one line if they do not come.

    JAX itself waits in silence, and then aborts the process from C++.
    """

    def give_up() -> None:
        print(f"error: after {PATIENCE} s {_waiting()}", file=sys.stderr, flush=True)
        os._exit(1)

    timers = [
        threading.Timer(_SOON, lambda: print(_waiting(), file=sys.stderr, flush=True)),
        threading.Timer(PATIENCE, give_up),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _waiting() -> str:
    state = distributed.global_state
    where, number, count = state.coordinator_address, state.process_id, state.num_processes
    told = "Slurm" if "SLURM_NTASKS" in os.environ else "the flags or the cluster"
    return (
        f"process {number} of {count} (so say {told}) waits for the others to join at {where}: start them, "
        "or run alone with --nodistributed"
    )


@contextmanager
def first_process_first(what: str) -> Iterator[None]:
    """Run the body in process 0, then in the others, which find on the shared disk what it wrote.

    Args:
        what: a name of the body, the same in all processes.
    """
    several, first = jax.process_count() > 1, jax.process_index() == 0
    if several and not first:
        multihost_utils.sync_global_devices(what)
    try:
        yield
    finally:  # what it met, the others will meet: they must not wait for it
        if several and first:
            multihost_utils.sync_global_devices(what)


def make_mesh(batch_size: int, parts: int = 1) -> Mesh:
    """A mesh of all devices for batches of `batch_size`, treated in `parts` one after the other.

    Raises:
        ValueError: the batch does not spread evenly.
    """
    devices = jax.device_count()
    if batch_size % (devices * parts):
        over = f"{devices} devices" + (f" and {parts} parts (train.accumulate)" if parts > 1 else "")
        raise ValueError(
            f"train.batch_size is {batch_size}, which does not spread evenly over {over}: "
            f"choose a multiple of {devices * parts}"
        )
    return jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The leading axis, that of the batch, spread over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def spread(mesh: Mesh, size: int) -> NamedSharding:
    """`over_batch` for a leading axis of this size, or `replicated` where the size does not spread evenly."""
    return replicated(mesh) if size % mesh.size else over_batch(mesh)
