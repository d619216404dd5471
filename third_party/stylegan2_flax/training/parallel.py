"""Devices: one mesh with one axis, over which the examples of a batch are spread; everything else is replicated.

The step is plain `jax.jit` over these shardings: XLA puts in the collectives, and the losses see the global batch.
"""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make_mesh(batch_size: int) -> Mesh:
    """A mesh of all devices for batches of `batch_size`.

    Raises:
        ValueError: the batch does not spread evenly.
    """
    devices = jax.device_count()
    if batch_size % devices:
        raise ValueError(
            f"train.batch_size is {batch_size}, which does not spread evenly over {devices} devices: "
            f"choose a multiple of {devices}"
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
