"""The peer of stylegan2.py, run by the Python of its own environment: RESOLUTION FMAP_BASE BATCH.

It compiles and prints what it found; then each line of its input makes it render once and print the seconds. JSON.
"""

import json
import os
import sys
import time

import flaxmodels  # pyright: ignore[reportMissingImports]
import jax

ANSWERS = os.fdopen(os.dup(sys.stdout.fileno()), "w")
sys.stdout = sys.stderr  # whatever the library prints


def answer(value: object) -> None:
    print(json.dumps(value), file=ANSWERS, flush=True)


def main(resolution: int, fmap_base: int, batch: int) -> None:
    synthesis = flaxmodels.stylegan2.SynthesisNetwork(resolution=resolution, fmap_base=fmap_base, rng=jax.random.key(0))
    ws = jax.random.normal(jax.random.key(1), (batch, 2 * (resolution.bit_length() - 2), 512))
    variables = jax.jit(lambda: synthesis.init(jax.random.key(0), ws[:1], noise_mode="const"))()
    began = time.perf_counter()
    render = jax.jit(lambda v, ws: synthesis.apply(v, ws, noise_mode="const")).lower(variables, ws).compile()
    compile_seconds, memory = time.perf_counter() - began, render.memory_analysis()
    jax.block_until_ready(render(variables, ws))
    answer(
        {
            "parameters": sum(x.size for x in jax.tree.leaves(variables["params"])),
            "compile_seconds": compile_seconds,
            "memory_bytes": memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes,
            "jax": jax.__version__,
        }
    )
    for _ in sys.stdin:
        began = time.perf_counter()
        jax.block_until_ready(render(variables, ws))
        answer(time.perf_counter() - began)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
