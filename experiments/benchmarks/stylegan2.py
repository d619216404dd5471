"""Speed of StyleGAN2's synthesis network, compared with flaxmodels and with the limits of the machine.

    python experiments/benchmarks/stylegan2.py                                     the whole table; hours on two cores
    python experiments/benchmarks/stylegan2.py --resolutions=256 --batches=4 --dtypes=float32 --peer=peer/bin/python

`--peer` is the Python of an environment with flaxmodels, which needs an older jax:

    python -m venv peer && peer/bin/pip install flaxmodels jax==0.4.35 jaxlib==0.4.35 flax==0.10.2

Calls of ours and of flaxmodels alternate, and each is timed until the images are computed. The table has the fastest
call (images/s) and the median of the ratios. The floor is the larger of two times: the network's multiply-adds divided
by the rate of a large matrix product, and its bytes (weights, and inputs and outputs of every layer) divided by the
rate of a large copy; both rates are measured in the same run. Cases that need more than the free memory are left out.
Results are in README.md.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import flags
from flax import nnx
from peer import Peer

import stylegan2_flax as sg2
from stylegan2_flax import command

FLAGS = flags.FlagValues()
RESOLUTIONS = flags.DEFINE_list("resolutions", ["64", "128", "256", "512", "1024"], "pixels", flag_values=FLAGS)
BATCHES = flags.DEFINE_list("batches", ["1", "4", "16", "32"], "images in a batch", flag_values=FLAGS)
for name in ("resolutions", "batches"):
    flags.register_validator(
        name, lambda values: all(map(str.isdecimal, values)), "must be numbers, such as 64,128", flag_values=FLAGS
    )
DTYPES = flags.DEFINE_list("dtypes", ["float32", "bfloat16"], "dtypes of the high resolutions", flag_values=FLAGS)
flags.register_validator(
    "dtypes",
    lambda dtypes: set(dtypes) <= {"float32", "bfloat16", "float16"},
    "must be among float32, bfloat16 and float16",
    flag_values=FLAGS,
)
CHANNEL_BASE = flags.DEFINE_integer("channel_base", 32768, "32768 is StyleGAN2 config F", 1, flag_values=FLAGS)
ROUNDS = flags.DEFINE_integer("rounds", 5, "timed calls of each network", 1, flag_values=FLAGS)
PEER = flags.DEFINE_string("peer", None, "the Python of an environment with flaxmodels", flag_values=FLAGS)
JSON = flags.DEFINE_string("json", None, "file to write all figures to", flag_values=FLAGS)

_PEER_PROGRAM = Path(__file__).with_name("flaxmodels_worker.py")


class Case(NamedTuple):
    """One row of the table."""

    resolution: int
    batch: int
    dtype: str


def main() -> None:
    sizes = itertools.product(map(int, RESOLUTIONS.value), map(int, BATCHES.value), DTYPES.value)
    table = benchmark(list(map(Case._make, sizes)), CHANNEL_BASE.value, ROUNDS.value, PEER.value)
    if JSON.value:
        Path(JSON.value).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def benchmark(cases: Sequence[Case], channel_base: int, rounds: int, peer: str | None) -> dict[str, Any]:
    """Print the table, and return all figures."""
    machine = {dtype: rates(dtype) for dtype in dict.fromkeys(case.dtype for case in cases)}
    about = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "load_before": os.getloadavg()[0],
        "rates": machine,
    }
    if about["load_before"] > 0.5:
        print(
            f"The machine is not idle (load {about['load_before']:.1f}): only ratios are meaningful.", file=sys.stderr
        )
    for dtype, (flops, bandwidth) in machine.items():
        print(
            f"{about['device']}, {dtype}: {flops / 1e9:,.0f} GFLOP/s in a matrix product, {bandwidth / 1e9:,.1f} GB/s"
        )
    heads = ("px", 5), ("batch", 5), ("dtype", 9), ("images/s", 9), ("of floor", 9), ("compile", 8), ("memory", 7)
    print(*(f"{head:>{width}}" for head, width in (*heads, ("peer", 7), ("ratio", 6))))
    rows = []
    for case in cases:
        if row := measure(case, machine[case.dtype], channel_base, rounds, peer):
            rows.append(row)
            print(shown(row), flush=True)
    return {**about, "rows": rows}


def measure(
    case: Case, rate: tuple[float, float], channel_base: int, rounds: int, peer_python: str | None
) -> dict[str, Any] | None:
    """One row of the table, or None if memory is short. Times are in seconds, sizes in bytes."""
    resolution, batch, dtype = case
    synthesis = abstract_synthesis(resolution, channel_base)
    products, size = work(synthesis, batch, dtype)
    row: dict[str, Any] = case._asdict()
    row["floor_s"] = max(2 * products / rate[0], size / rate[1])
    render, row["compile_s"], row["memory_bytes"] = compiled(resolution, channel_base, batch, dtype)
    if row["memory_bytes"] > (free := free_memory()):
        print(
            f"{resolution:5} {batch:5} {dtype:>9} left out: it needs {row['memory_bytes'] / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free",
            flush=True,
        )
        return None
    run = prepared(render, resolution, channel_base, batch)
    peer = None
    if peer_python and dtype == "float32":
        peer = Peer(
            peer_python, _PEER_PROGRAM, resolution, channel_base // 2, batch, needs="flaxmodels, with jax 0.4.35"
        )
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(run())
        if peer:
            theirs.append(peer.run())
    row["seconds"] = ours
    row["images_per_s"] = batch / min(ours)
    row["of_floor"] = row["floor_s"] / min(ours)
    if peer:
        peer.close()
        row["peer_seconds"] = theirs
        row["peer_images_per_s"] = batch / min(theirs)
        row["ratio"] = median(their / our for our, their in zip(ours, theirs, strict=True))
    return row


def shown(row: dict[str, Any]) -> str:
    peer = f"{row['peer_images_per_s']:7.2f} {row['ratio']:6.2f}" if "ratio" in row else f"{'-':>7} {'-':>6}"
    return (
        f"{row['resolution']:5} {row['batch']:5} {row['dtype']:>9} {row['images_per_s']:9.2f} {row['of_floor']:9.0%} "
        f"{row['compile_s']:6.1f} s {row['memory_bytes'] / 2**20:5.0f} M {peer}"
    )


def compiled(resolution: int, channel_base: int, batch: int, dtype: str) -> tuple[Any, float, int]:
    """The compiled synthesis, a function of (state, ws); the seconds of compilation; the bytes that it needs."""
    graphdef, state = nnx.split(abstract_synthesis(resolution, channel_base))
    ws = jax.eval_shape(lambda: latents(resolution, batch))
    began = time.perf_counter()
    render = jax.jit(lambda state, ws: nnx.merge(graphdef, state)(ws, dtype=dtype)).lower(state, ws).compile()
    seconds, memory = time.perf_counter() - began, render.memory_analysis()
    assert memory is not None
    return render, seconds, memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes


def prepared(render: Callable[..., Any], resolution: int, channel_base: int, batch: int) -> Callable[[], float]:
    """A function that runs synthesis once, on random weights and latents, and returns the seconds."""
    state = jax.jit(lambda: nnx.state(make_synthesis(resolution, channel_base)))()
    ws = latents(resolution, batch)
    jax.block_until_ready(render(state, ws))
    return lambda: timed(render, state, ws)


def latents(resolution: int, batch: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (batch, 2 * (resolution.bit_length() - 2), 512))


def free_memory() -> float:
    """Free bytes of the device, or of main memory if the device is the CPU."""
    if statistics := jax.devices()[0].memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def timed(function: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began


def make_synthesis(resolution: int, channel_base: int) -> sg2.SynthesisNetwork:
    return sg2.SynthesisNetwork(512, resolution, 3, channel_base=channel_base, conv_clamp=256, rngs=nnx.Rngs(0))


def abstract_synthesis(resolution: int, channel_base: int) -> sg2.SynthesisNetwork:
    return nnx.eval_shape(lambda: make_synthesis(resolution, channel_base))


def work(synthesis: sg2.SynthesisNetwork, batch: int, dtype: str) -> tuple[float, float]:
    """Multiply-adds of the convolutions, and bytes of weights, inputs and outputs, of one call."""
    products = values = weights = 0
    for name, resolution, layer in convolutions(synthesis):
        out, channels, kernel, _ = layer.weight.shape
        inputs = (resolution // layer.up) ** 2 if name == "conv0" else resolution**2
        # An up-convolution has four pixels for one of its input, and each tap of the kernel meets one of the four.
        products += batch * inputs * out * channels * kernel**2
        values += batch * (inputs * channels + resolution**2 * out)
        weights += out * channels * kernel**2
    return float(products), float(values * jnp.dtype(dtype).itemsize + 4 * weights)


def convolutions(synthesis: sg2.SynthesisNetwork):
    for resolution in synthesis.resolutions:
        block = getattr(synthesis, f"b{resolution}")
        yield from ((name, resolution, getattr(block, name)) for name in block.styled)


def rates(dtype: str, seconds: float = 2.0) -> tuple[float, float]:
    """Operations per second of a large matrix product, and bytes per second of a large copy (read and written)."""
    on_cpu = jax.default_backend() == "cpu"
    n = 2048 if on_cpu else 8192
    a = jnp.ones((n, n), dtype)
    copied = jnp.ones((2**26 if on_cpu else 2**30) // 4, jnp.float32)
    product, copy = jax.jit(lambda a: a @ a), jax.jit(lambda x: x + 1)
    return 2 * n**3 / fastest(product, a, seconds), 2 * copied.nbytes / fastest(copy, copied, seconds)


def fastest(function: Callable[[jax.Array], jax.Array], argument: jax.Array, seconds: float) -> float:
    timed(function, argument)
    end, times = time.perf_counter() + seconds, [timed(function, argument)]
    while time.perf_counter() < end:
        times.append(timed(function, argument))
    return min(times)


if __name__ == "__main__":
    command.run(main, FLAGS)
