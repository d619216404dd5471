"""How fast StyleGAN2's synthesis runs, beside a peer in the same run and beside what the machine could do.

    python experiments/benchmarks/stylegan2.py                                     the whole table; on two cores, hours
    python experiments/benchmarks/stylegan2.py --resolutions 256 --batches 4 --dtypes float32 --peer peer/bin/python

`--peer` is the Python of an environment with flaxmodels, which needs an older jax:

    python -m venv peer && peer/bin/pip install flaxmodels jax==0.4.35 jaxlib==0.4.35 flax==0.10.2

Rounds alternate, ours and the peer's, and each is timed from call to finished image; the table gives the fastest
round (images/s) and the median of the rounds' ratios. The floor is the larger of two times: the network's
multiply-adds over the rate of a large matrix product, and its bytes (weights, and every layer's input and output,
once) over the rate of a large copy; both rates are measured here and now. What needs more memory than is free is
left out. README.md has the figures that were measured, and the forms of the operations that were tried.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import stylegan2_flax as sg2

PEER = Path(__file__).with_name("flaxmodels_worker.py")


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    machine = {dtype: rates(dtype) for dtype in arguments.dtypes}
    about = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "load_before": os.getloadavg()[0],
        "rates": machine,
    }
    if about["load_before"] > 0.5:
        print(
            f"The machine is not idle (load {about['load_before']:.1f}): only ratios mean something.", file=sys.stderr
        )
    for dtype, (flops, bandwidth) in machine.items():
        print(
            f"{about['device']}, {dtype}: {flops / 1e9:,.0f} GFLOP/s in a matrix product, {bandwidth / 1e9:,.1f} GB/s"
        )
    heads = ("px", 5), ("batch", 5), ("dtype", 9), ("images/s", 9), ("of floor", 9), ("compile", 8), ("memory", 7)
    print(*(f"{head:>{width}}" for head, width in (*heads, ("peer", 7), ("ratio", 6))))
    rows = []
    for resolution in arguments.resolutions:
        for batch in arguments.batches:
            for dtype in arguments.dtypes:
                if row := measure(resolution, batch, dtype, machine[dtype], arguments):
                    rows.append(row)
                    print(shown(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128, 256, 512, 1024], metavar="PX")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 32], metavar="N")
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16", "float16"]
    )
    parser.add_argument("--channel-base", type=int, default=32768, help="32768: StyleGAN2 config F")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", metavar="PYTHON", help="the Python of an environment with flaxmodels")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write every figure there")
    return parser.parse_args(argv)


def measure(
    resolution: int, batch: int, dtype: str, rate: tuple[float, float], arguments: argparse.Namespace
) -> dict[str, Any] | None:
    """One row of the table, or None where memory is short. Times are in seconds, sizes in bytes."""
    synthesis = abstract_synthesis(resolution, arguments.channel_base)
    products, size = work(synthesis, batch, dtype)
    row: dict[str, Any] = {"resolution": resolution, "batch": batch, "dtype": dtype}
    row["floor_s"] = max(2 * products / rate[0], size / rate[1])
    render, row["compile_s"], row["memory_bytes"] = compiled(resolution, arguments.channel_base, batch, dtype)
    if row["memory_bytes"] > (free := free_memory()):
        print(
            f"{resolution:5} {batch:5} {dtype:>9} left out: it needs {row['memory_bytes'] / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free",
            flush=True,
        )
        return None
    run = prepared(render, resolution, arguments.channel_base, batch)
    ours, theirs = [], []
    peer = (
        Peer(arguments.peer, resolution, arguments.channel_base // 2, batch)
        if arguments.peer and dtype == "float32"
        else None
    )
    for _ in range(arguments.rounds):
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
    """Synthesis as a compiled function of (state, ws); seconds to compile it; bytes that it needs."""
    graphdef, state = nnx.split(abstract_synthesis(resolution, channel_base))
    ws = jax.eval_shape(lambda: latents(resolution, batch))
    began = time.perf_counter()
    render = jax.jit(lambda state, ws: nnx.merge(graphdef, state)(ws, dtype=dtype)).lower(state, ws).compile()
    seconds, memory = time.perf_counter() - began, render.memory_analysis()
    assert memory is not None
    return render, seconds, memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes


def prepared(render: Callable[..., Any], resolution: int, channel_base: int, batch: int) -> Callable[[], float]:
    """A function that runs synthesis once, on random weights and latents, and gives its seconds."""
    state = jax.jit(lambda: nnx.state(make_synthesis(resolution, channel_base)))()
    ws = latents(resolution, batch)
    jax.block_until_ready(render(state, ws))
    return lambda: timed(render, state, ws)


def latents(resolution: int, batch: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (batch, 2 * (resolution.bit_length() - 2), 512))


def free_memory() -> float:
    """Bytes that the device has left; of the main memory, where the device is the processor."""
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


class Peer:
    """flaxmodels in a process of its own, which runs when it is told to and says how long it took."""

    def __init__(self, python: str, resolution: int, fmap_base: int, batch: int):
        command = [python, str(PEER), str(resolution), str(fmap_base), str(batch)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()  # it has compiled

    def run(self) -> float:
        assert self._process.stdin is not None
        print("run", file=self._process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> float:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            self.close()
            sys.exit("error: the peer stopped; its message is above. Has its environment flaxmodels, with jax 0.4.35?")
        return float(line)


if __name__ == "__main__":
    main()
