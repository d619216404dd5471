"""The peer of stylegan2.py, run by the Python of its own environment: RESOLUTION FMAP_BASE BATCH.

It prints the seconds of compiling, then for each line that comes in those of one call.
"""

import sys
import time

import flaxmodels  # pyright: ignore[reportMissingImports]
import jax


def main(resolution: int, fmap_base: int, batch: int) -> None:
    synthesis = flaxmodels.stylegan2.SynthesisNetwork(resolution=resolution, fmap_base=fmap_base, rng=jax.random.key(0))
    ws = jax.random.normal(jax.random.key(1), (batch, 2 * (resolution.bit_length() - 2), 512))
    variables = jax.jit(lambda: synthesis.init(jax.random.key(0), ws[:1], noise_mode="const"))()
    began = time.perf_counter()
    render = jax.jit(lambda v, ws: synthesis.apply(v, ws, noise_mode="const")).lower(variables, ws).compile()
    jax.block_until_ready(render(variables, ws))
    print(time.perf_counter() - began, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        jax.block_until_ready(render(variables, ws))
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
