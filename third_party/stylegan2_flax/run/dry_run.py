"""What a training step needs of the devices: its programs are compiled for shapes alone, and none of them runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from jaxtyping import PyTree


class Program(NamedTuple):
    """A program of the step.

    Attributes:
        lowered: the jitted function, lowered for the shapes of its arguments.
        share: the fraction of the steps in which it runs.
    """

    lowered: jax.stages.Lowered
    share: float = 1.0


class Needs(NamedTuple):
    """What a program needs of each device.

    Attributes:
        arguments, outputs: bytes of its arguments, and of those outputs that do not replace an argument.
        temporaries: bytes of everything in between: activations, gradients, updates.
        flops: floating-point operations, as XLA counts them: the body of a loop once.
    """

    arguments: int
    outputs: int
    temporaries: int
    flops: float

    @property
    def memory(self) -> int:
        return self.arguments + self.outputs + self.temporaries

    def describe(self) -> str:
        """All but the operations."""
        parts = f"arguments {_bytes(self.arguments)}, new outputs {_bytes(self.outputs)}"
        return f"{_bytes(self.memory)} on each device: {parts}, activations and the like {_bytes(self.temporaries)}"

    @classmethod
    def of(cls, program: Program) -> "Needs":
        """Compile the program and look at it."""
        compiled = program.lowered.compile()
        memory: Any = compiled.memory_analysis()
        cost: Any = compiled.cost_analysis() or {}
        outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
        return cls(memory.argument_size_in_bytes, outputs, memory.temp_size_in_bytes, float(cost.get("flops", 0.0)))


def report(
    state: Any, params: PyTree, programs: Mapping[str, Program], mesh: Mesh, batch_size: int, examples: str
) -> str:
    """Compile the programs of a step and describe what they need.

    Args:
        state: the train state, its arrays replaced by shapes; every device holds the whole of it.
        params: the part of it that is trained.
        programs: by name.
        mesh: the devices.
        batch_size: examples in a batch, over all devices.
        examples: what they are, such as "clips".

    Raises:
        MemoryError: a program needs more memory than a device has, where devices tell.
    """
    needs = {name: Needs.of(program) for name, program in programs.items()}
    limit, kind = device_memory(), mesh.devices.flat[0].device_kind
    flops = sum(need.flops * programs[name].share for name, need in needs.items())
    rows = {
        "mesh": f"{mesh.size} x {kind}, the batch split over them; processes: {jax.process_count()}",
        "batch": f"{batch_size} {examples} a step, {batch_size // mesh.size} on each device",
        "parameters": f"{_count(params):,}: {_bytes(_size(params))}; the whole train state: {_bytes(_size(state))}",
        **{name: need.describe() for name, need in needs.items()},
        "operations": f"{flops / 1e9:.3g} GFLOP a step on each device; the body of a loop counts once",
        "memory": f"{_bytes(limit)} on each device" if limit else "the devices do not tell how much they have",
    }
    largest = max(needs, key=lambda name: needs[name].memory)
    if limit is not None and (memory := needs[largest].memory) > limit:
        raise MemoryError(f"{largest} needs {_bytes(memory)} on each device, which has {_bytes(limit)}")
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:{width}}{text}" for name, text in rows.items())


def device_memory() -> int | None:
    """Bytes that JAX may use on a device of this process, the least of all; None where devices do not tell."""
    stats: Sequence[Any] = [device.memory_stats() for device in jax.local_devices()]
    limits = [found["bytes_limit"] for found in stats if found and "bytes_limit" in found]
    return min(limits, default=None)


def _count(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _size(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _bytes(n: int) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"
