"""Data parallelism: a mesh with one axis, over which a batch is sharded; everything else is replicated.

Train steps are plain `jax.jit` functions with these shardings: XLA inserts the collectives, and losses see the global
batch. With several processes the mesh spans the devices of all of them.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax._src import distributed  # holds the coordinator's address while JAX waits for it
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

T = TypeVar("T")

PATIENCE = 150
"""Seconds within which all processes must have joined."""

_SOON = 2.0  # seconds, after which a process prints what it is waiting for


def join(
    distributed: bool | None = None,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Initialize `jax.distributed`. Call it before JAX computes anything.

    Args:
        distributed: True requires a cluster (Cloud TPU, Slurm, Open MPI, Kubernetes), None uses one if JAX detects it,
            False runs this process alone.
        coordinator: HOST:PORT of process 0, if there is no cluster manager.
        num_processes: number of processes, if there is no cluster manager.
        process_id: index of this process from 0, if there is no cluster manager.

    Raises:
        ValueError: a cluster is required and there is none, or only some of the last three arguments are given.
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
    """Print what this process is waiting for; exit with a one-line error after `PATIENCE` seconds.

    JAX itself waits silently, and then aborts the process from C++.
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
    """Run the body in process 0, and then in the others, which can read what process 0 wrote to the shared disk.

    Args:
        what: a name for this synchronization point, the same in all processes.
    """
    several, first = jax.process_count() > 1, jax.process_index() == 0
    if several and not first:
        multihost_utils.sync_global_devices(what)
    try:
        yield
    finally:  # after an error too, or the other processes would wait forever
        if several and first:
            multihost_utils.sync_global_devices(what)


def as_in_first_process(tree: T) -> T:
    """A pytree of arrays with the values that process 0 has. All processes must call it.

    What each has computed by itself may differ in the last bits, and nothing can then be replicated over all devices.
    """
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(jnp.asarray, multihost_utils.broadcast_one_to_all(tree))


def hardware() -> str:
    """What a card says that a network was trained on: the kind of the devices, or how many cores."""
    return f"{os.cpu_count()} cores" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind


def make_mesh(batch_size: int, parts: int = 1) -> Mesh:
    """A mesh of all devices.

    Args:
        batch_size: examples in a batch.
        parts: number of parts of a batch that are computed one after the other (gradient accumulation).

    Raises:
        ValueError: the devices do not divide the parts of the batch evenly.
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
    """The sharding of an array that every device holds as a whole."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The sharding of an array whose leading axis, that of the batch, is split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def local_rows(sharding: NamedSharding, batch_size: int) -> list[int]:
    """The places of a batch that lie on devices of this process, in order."""
    parts = [index[0] for index in sharding.addressable_devices_indices_map((batch_size,)).values() if index]
    return sorted({row for part in parts for row in range(*part.indices(batch_size))})


def spread(mesh: Mesh, size: int) -> NamedSharding:
    """`over_batch` if the devices divide the leading axis, of this size, evenly; otherwise `replicated`."""
    return replicated(mesh) if size % mesh.size else over_batch(mesh)
