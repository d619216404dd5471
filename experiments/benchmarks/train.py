"""Speed of clip generation and of training the autoencoder, compared with the limits of the machine.

    python experiments/benchmarks/train.py                                      faces at 64 px, batches of 32 clips
    python experiments/benchmarks/train.py --size=ffhq1024 --batches=64,1024    latents of 18 x 512
    XLA_FLAGS=--xla_force_host_platform_device_count=8 python experiments/benchmarks/train.py --devices=1,2,4,8

Columns: steps/s of the train step; the share of its time that clip generation takes (compared with a step that is given
its clips) and clips/s of generation alone; the floor of the step without generation divided by its time; memory of one
device; the speed relative to the first number of devices. The floor is the larger of two times: operations, as XLA
counts them, divided by the rate of a large matrix product, and the bytes of the train state, read and written once,
divided by the rate of a large copy; both rates are measured in the same run. At faces64 clips are made by the readout
of the bundled model. At ffhq1024 the generator's weights and the directions are random, since latents need the mapping
network only. Virtual devices of a CPU share its cores, so they show the cost of dividing the work.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import nnx
from jax.sharding import AxisType
from jaxtyping import PyTree
from ml_collections import ConfigDict
from stylegan2 import rates

import stylegan2_flax as sg2
from disentangle_jax.clips import Clip, ClipConfig, ClipSource, sample_clip
from disentangle_jax.clips.streams import GeneratedClips
from disentangle_jax.configs import faces64, ffhq1024
from disentangle_jax.directions.find import find_directions, sample_population
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.model import Autoencoder
from disentangle_jax.training.objective import Frozen
from disentangle_jax.training.optimizer import make_optimizer, make_schedule
from disentangle_jax.training.random_streams import random_streams
from disentangle_jax.training.step import make_train_step
from stylegan2_flax import command
from stylegan2_flax.run import parallel
from stylegan2_flax.run.train_state import graphdef, init_state

FLAGS = flags.FlagValues()
SIZE = flags.DEFINE_enum("size", "faces64", ("faces64", "ffhq1024"), "config", flag_values=FLAGS)
BATCHES = flags.DEFINE_list("batches", ["32"], "clips in a batch", flag_values=FLAGS)
DEVICES = flags.DEFINE_list("devices", [], "numbers of devices (default: all)", flag_values=FLAGS)
for name in ("batches", "devices"):
    flags.register_validator(
        name, lambda values: all(map(str.isdecimal, values)), "must be numbers, such as 32,64", flag_values=FLAGS
    )
ROUNDS = flags.DEFINE_integer("rounds", 5, "of ten steps each; the table has the median", 1, flag_values=FLAGS)
JSON = flags.DEFINE_string("json", None, "file to write all figures to", flag_values=FLAGS)


def main() -> None:
    devices = list(map(int, DEVICES.value)) or [jax.device_count()]
    table = benchmark(SIZE.value, list(map(int, BATCHES.value)), devices, ROUNDS.value)
    if JSON.value:
        Path(JSON.value).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def benchmark(size: str, batches: Sequence[int], device_counts: Sequence[int], rounds: int) -> dict[str, Any]:
    """Print the table, and return all figures."""
    config, source = make_source(size)
    flops, bandwidth = rates(config.model.dtype)
    device = jax.devices()[0].device_kind
    print(
        f"{device}, {config.model.dtype}: {flops / 1e9:,.0f} GFLOP/s in a matrix product, "
        f"{bandwidth / 1e9:,.1f} GB/s; load {os.getloadavg()[0]:.1f}"
    )
    heads = ("batch", "devices", "steps/s", "for clips", "clips/s", "of floor", "memory", "speed-up")
    print(*(f"{head:>9}" for head in heads))
    rows = []
    for batch in batches:
        for devices in device_counts:
            row = measure(config, source, batch, devices, rounds, (flops, bandwidth))
            first = next((r for r in rows if r["batch"] == batch), row)
            rows.append(row | {"speed_up": row["steps_per_s"] / first["steps_per_s"]})
            print(shown(rows[-1]), flush=True)
    return {"size": size, "device": device, "rates": [flops, bandwidth], "rows": rows}


def make_source(size: str) -> tuple[ConfigDict, ClipSource]:
    """A config and the source of its clips: along the bundled model's directions and by its readout, or at random."""
    if size == "faces64":
        model = Disentangler.load("faces64")
        assert model.readout is not None
        config = faces64.get_config()
        clips = ClipConfig.of(config.clips)
        return config, ClipSource.create(model.generator, model.directions, clips, readout=model.readout)
    config = ffhq1024.get_config()
    config.directions.source, config.directions.num_samples = "random", 1024
    tiny = {"channel_base": 512, "channel_max": 8}  # nothing is rendered
    generator = jax.jit(lambda: sg2.Generator(img_resolution=1024, synthesis_kwargs=tiny, rngs=nnx.Rngs(0)))()
    ws = sample_population(config, generator)
    directions = find_directions(config, generator, ws).directions
    return config, ClipSource.create(generator, directions, ClipConfig.of(config.clips))


def measure(
    config: ConfigDict, source: ClipSource, batch: int, devices: int, rounds: int, rate: tuple[float, float]
) -> dict[str, Any]:
    """One row of the table. Times are in seconds, sizes in bytes."""
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    replicated = parallel.replicated(mesh)
    placed, key = jax.device_put(source, replicated), random_streams(config.seed).clips
    generated = GeneratedClips(sample_clip, placed, key, batch, mesh, config.data.tile)
    mean, std = np.asarray(source.stats.mean), np.asarray(source.stats.std)

    def create() -> Autoencoder:
        return Autoencoder(jnp.asarray(mean), jnp.asarray(std), **config.model, rngs=nnx.Rngs(0))

    schedule = make_schedule(config.optimizer, config.train.num_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    init = jax.jit(partial(init_state, create, optimizer), out_shardings=replicated)

    frozen = jax.device_put(Frozen.of(config.loss.weights, None, source.readout), replicated)

    def compiled(stream: Any, fetched: PyTree) -> Any:
        step = make_train_step(config, graphdef(create), optimizer, schedule, stream, mesh, frozen)
        return step.lower(init(), fetched, jax.tree.leaves(frozen)).compile()

    first = generated.fetch(0), init().step
    make = jax.jit(generated.clips).lower(*first).compile()
    clips = make(*first)
    whole, given = compiled(generated, generated.fetch(0)), compiled(GivenClips(), clips)
    seconds = seconds_of_steps(whole, init(), (generated.fetch(0), jax.tree.leaves(frozen)), rounds)
    without = seconds_of_steps(given, init(), (clips, jax.tree.leaves(frozen)), rounds)
    alone = median(elapsed(partial(make, *first)) for _ in range(rounds))
    memory = whole.memory_analysis()
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(init()))
    operations = given.cost_analysis()["flops"]
    floor = max(operations / rate[0], 2 * state / rate[1])
    return {
        "batch": batch,
        "devices": devices,
        "steps_per_s": 1 / seconds,
        "share_of_clips": max(0.0, 1 - without / seconds),
        "clips_per_s": batch / alone,
        "floor_s": floor,
        "of_floor": floor / without,
        "memory_bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes,
    }


class GivenClips:
    """A stream that returns the clips that it is given."""

    def fetch(self, step: int) -> PyTree:
        raise AssertionError("the step is given its clips")

    def clips(self, fetched: Clip, step: jax.Array) -> Clip:
        return fetched


def seconds_of_steps(step: Callable[..., Any], state: Any, inputs: PyTree, rounds: int, steps: int = 10) -> float:
    """Seconds per step, the median over rounds of `steps` steps, after a first round that is not counted."""

    def run() -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = step(state, *inputs)
        jax.block_until_ready(state)

    run()
    return median(elapsed(run) for _ in range(rounds)) / steps


def elapsed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - began


def shown(row: dict[str, Any]) -> str:
    return (
        f"{row['batch']:9} {row['devices']:9} {row['steps_per_s']:9.1f} {row['share_of_clips']:9.0%} "
        f"{row['clips_per_s']:9,.0f} {row['of_floor']:9.0%} {row['memory_bytes'] / 2**20:7.0f} M {row['speed_up']:9.2f}"
    )


if __name__ == "__main__":
    command.run(main, FLAGS)
