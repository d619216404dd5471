"""How fast StyleGAN2's synthesis runs: beside a peer in the same run, and beside what the machine could do.

    python experiments/benchmarks/stylegan2.py --peer peer/bin/python      256 px, batch 1 and 4, float32: two minutes
    python experiments/benchmarks/stylegan2.py --resolutions 64 128 256 512 1024 --batches 1 4 32 \
        --dtypes float32 bfloat16 --json table.json                        the whole table; hours on two cores

`--peer` is the Python of an environment with flaxmodels, which needs an older jax (add the plugin of a GPU):

    python3.11 -m venv peer && peer/bin/pip install flaxmodels==0.1.3 jax==0.4.35 jaxlib==0.4.35 flax==0.10.2

Ours and the peer's calls alternate, each in its own process and timed from call to finished images; the table has the
fastest call and the median of the alternating ratios. "matrix" and "bytes" are the fractions of two ceilings that are
reached: the network's multiply-adds at the rate of a large matrix product, and its bytes (weights once; every
convolution's input and output once) at the rate of a large copy. Both rates are measured in the same run.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the peer may need room on the same device

import jax
import jax.numpy as jnp
from flax import nnx

import stylegan2_flax as sg2
from stylegan2_flax.layers import half_precision_from
from stylegan2_flax.synthesis import channels_of_resolutions

W_DIM = 512
WORKER = Path(__file__).with_name("flaxmodels_worker.py")
HEADER = "   px batch     dtype  images/s  matrix  bytes  compile    memory    peer  ratio"


def main(argv: list[str] | None = None) -> None:
    options = parsed(argv)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: other programs are running (load {load:.1f}): only the ratios mean something", file=sys.stderr)
    rates = Rates({dtype: matrix_rate(dtype) for dtype in {"float32", *options.dtypes}}, bandwidth())
    machine = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "load_before": load,
        "matrix_flops_per_second": rates.flops,
        "copy_bytes_per_second": rates.bytes,
    }
    products = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in sorted(rates.flops.items()))
    print(f"{machine['device']}, {machine['cores']} cores: {products} products; copies {rates.bytes / 1e9:,.1f} GB/s")
    print(HEADER)
    rows = []
    for resolution in options.resolutions:
        for batch in options.batches:
            for dtype in options.dtypes:
                rows.append(measured(resolution, batch, dtype, rates, options))
                print(line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256], metavar="PX")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], metavar="N")
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16", "float16"])
    parser.add_argument(
        "--channel-base", type=int, default=32768, help="32768: config F, 30 M parameters from 256 px on"
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each row")
    parser.add_argument("--peer", metavar="PYTHON", help="compare float32 rows with flaxmodels, run by this Python")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write every figure there")
    return parser.parse_args(argv)


class Rates(NamedTuple):
    flops: dict[str, float]
    """By dtype; a multiply-add is two."""
    bytes: float


def matrix_rate(dtype: str) -> float:
    """Operations per second of a large matrix product in full precision."""
    n = 2048 if jax.default_backend() == "cpu" else 8192
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    return 2 * n**3 / fastest(product, jnp.ones((n, n), dtype))


def bandwidth() -> float:
    """Bytes per second, read and written, of arithmetic in place on an array beyond every cache."""
    n = 2**26 if jax.default_backend() == "cpu" else 2**29
    return 2 * 4 * n / fastest(jax.jit(lambda x: x + 1, donate_argnums=0), jnp.ones(n), replace=True)


def fastest(function: Callable[[Any], Any], argument: Any, replace: bool = False, seconds: float = 2.0) -> float:
    """The shortest call within some seconds. replace: each call gets the last one's result."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        result = jax.block_until_ready(function(argument))
        times.append(time.perf_counter() - began)
        argument = result if replace else argument
    return min(times)


class Layer(NamedTuple):
    """A convolution of one image."""

    products: int
    values: int
    """Of input and output together."""
    weights: int
    resolution: int


def layers(resolution: int, channel_base: int) -> Iterator[Layer]:
    channels = channels_of_resolutions(resolution, channel_base, 512)
    for r, out in channels.items():
        if r > 4:  # each pixel of the smaller image meets each tap of the kernel once
            weights, small = 9 * channels[r // 2] * out, (r // 2) ** 2
            yield Layer(weights * small, small * channels[r // 2] + r * r * out, weights, r)
        yield Layer(9 * out * out * r * r, 2 * r * r * out, 9 * out * out, r)
        yield Layer(3 * out * r * r, r * r * (out + 3), 3 * out, r)


def ceilings(resolution: int, channel_base: int, batch: int, dtype: str, rates: Rates) -> tuple[float, float]:
    """Seconds of a call at the rate of matrix products, and at that of copies."""
    half_from = half_precision_from(resolution, 0)
    products = values = 0.0
    for layer in layers(resolution, channel_base):
        layer_dtype = dtype if layer.resolution >= half_from else "float32"
        products += 2 * batch * layer.products / rates.flops[layer_dtype]
        values += batch * layer.values * jnp.dtype(layer_dtype).itemsize + 4 * layer.weights
    return products, values / rates.bytes


def measured(resolution: int, batch: int, dtype: str, rates: Rates, options: argparse.Namespace) -> dict[str, Any]:
    """One row: seconds and bytes. A call that needs more memory than is free is left out, and the row says so."""
    row: dict[str, Any] = {"resolution": resolution, "batch": batch, "dtype": dtype}
    row["matrix_seconds"], row["bytes_seconds"] = ceilings(resolution, options.channel_base, batch, dtype, rates)
    prepared, facts = prepare(resolution, options.channel_base, batch, dtype)
    row |= facts
    if row["memory_bytes"] > (free := free_memory()):
        return row | {"left_out": f"needs {row['memory_bytes'] / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"}
    run = prepared()
    compared = bool(options.peer) and dtype == "float32"
    with Peer(options.peer, resolution, options.channel_base, batch) if compared else nullcontext() as peer:
        run()
        row["seconds"], theirs = [], []
        for _ in range(options.rounds):
            row["seconds"].append(run())
            if peer:
                theirs.append(peer.run())
    row["images_per_second"] = batch / min(row["seconds"])
    row["device_peak_bytes"] = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if peer:
        if peer.facts["parameters"] != row["parameters"]:
            sys.exit(f"error: the peer's network has {peer.facts['parameters']} parameters, ours {row['parameters']}")
        row["peer"] = {**peer.facts, "seconds": theirs, "images_per_second": batch / min(theirs)}
        row["ratio"] = median(their / our for our, their in zip(row["seconds"], theirs, strict=True))
    return row


def prepare(
    resolution: int, channel_base: int, batch: int, dtype: str
) -> tuple[Callable[[], Callable[[], float]], dict[str, Any]]:
    """Compiles; then makes, when called, the weights and a function that renders and gives the seconds it took."""

    def synthesis() -> sg2.SynthesisNetwork:
        return sg2.SynthesisNetwork(W_DIM, resolution, 3, channel_base=channel_base, conv_clamp=256, rngs=nnx.Rngs(0))

    graphdef, shapes = nnx.split(nnx.eval_shape(synthesis))
    ws = jax.random.normal(jax.random.key(1), (batch, 2 * (resolution.bit_length() - 2), W_DIM))
    began = time.perf_counter()
    render = jax.jit(lambda state, ws: nnx.merge(graphdef, state)(ws, dtype=dtype)).lower(shapes, ws).compile()
    seconds, memory = time.perf_counter() - began, render.memory_analysis()
    assert memory is not None
    facts = {
        "parameters": sum(x.size for x in jax.tree.leaves(shapes.filter(nnx.Param))),
        "compile_seconds": seconds,
        "memory_bytes": memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes,
    }

    def prepared() -> Callable[[], float]:
        state = jax.jit(lambda: nnx.state(synthesis()))()

        def run() -> float:
            began = time.perf_counter()
            jax.block_until_ready(render(state, ws))
            return time.perf_counter() - began

        return run

    return prepared, facts


def free_memory() -> float:
    stats = jax.devices()[0].memory_stats()
    if stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class Peer(AbstractContextManager):
    """flaxmodels in a process of its own, which renders when told to. facts: as `prepare` gives them."""

    def __init__(self, python: str, resolution: int, channel_base: int, batch: int):
        command = [python, str(WORKER), str(resolution), str(channel_base // 2), str(batch)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts: dict[str, Any] = self._answer()

    def run(self) -> float:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit("error: the peer stopped, with the message above; see --help for the environment that it needs")
        return json.loads(answer)

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # the end of its input ends it


def line(row: dict[str, Any]) -> str:
    start = f"{row['resolution']:5} {row['batch']:5} {row['dtype']:>9}"
    if "left_out" in row:
        return f"{start}  left out: {row['left_out']}"
    best = min(row["seconds"])
    compared = f"{row['peer']['images_per_second']:7.2f} {row['ratio']:6.2f}" if "peer" in row else f"{'-':>7} {'-':>6}"
    return (
        f"{start} {row['images_per_second']:9.2f} {row['matrix_seconds'] / best:7.0%} {row['bytes_seconds'] / best:6.0%}"
        f" {row['compile_seconds']:6.1f} s {row['memory_bytes'] / 2**20:6,.0f} MiB {compared}"
    )


if __name__ == "__main__":
    main()
