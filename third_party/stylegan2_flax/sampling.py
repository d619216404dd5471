"""Pictures of numbered seeds, and ways from one to the next for videos. `sample` makes a command of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, UInt8

from stylegan2_flax.generator import Generator
from stylegan2_flax.media import to_uint8

_BATCH_PIXELS = 2**21  # two pictures of 1024 px: what a batch needs stays below some gigabytes


@dataclass(frozen=True)
class Sampler:
    """A generator and how to draw with it. Raises ValueError for what the generator does not have."""

    generator: Generator
    psi: float = 1.0
    """Truncation: 1 draws what the generator learnt, 0 its mean picture; of the first `cutoff` layers (None: all)."""
    cutoff: int | None = None
    label: int | None = None
    """The class that a conditional generator draws."""
    noise_mode: str = "const"
    dtype: DTypeLike = jnp.float32
    batch: int | None = None
    """Pictures drawn at once; None: as many as their size allows. It changes no picture, but for rounding."""
    numpy_seeds: bool = False
    """Seeds as NVIDIA's programs use them: z = RandomState(seed).randn(1, z_dim)."""

    def __post_init__(self):
        classes, layers = self.generator.c_dim, self.generator.num_ws
        if self.label is None and classes > 0:
            raise ValueError(f"this generator is conditional: choose a class from 0 to {classes - 1}")
        if self.label is not None and not 0 <= self.label < classes:
            has = (
                f"this generator has the classes 0 to {classes - 1}" if classes > 0 else "this generator has no classes"
            )
            raise ValueError(f"{has}; got class {self.label}")
        if self.cutoff is not None and not 0 <= self.cutoff <= layers:
            raise ValueError(f"this generator has {layers} layers; got a truncation cutoff of {self.cutoff}")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"the batch must be at least 1, got {self.batch}")

    def z(self, seeds: Sequence[int]) -> Float[np.ndarray, "n z"]:
        """The random vectors of seeds in [0, 2^32); each depends on its own seed alone."""
        size = self.generator.z_dim
        if self.numpy_seeds:  # that convention is numpy's legacy generator
            rows = [np.random.RandomState(seed).randn(1, size)[0] for seed in seeds]
        else:
            rows = [jax.random.normal(jax.random.key(seed), (size,)) for seed in seeds]
        return np.asarray(rows, np.float32).reshape(len(seeds), size)

    def ws(self, z: Float[np.ndarray, "n z"]) -> Float[np.ndarray, "n l d"]:
        """Random vectors mapped to latents, and truncated."""
        c = None
        if self.label is not None:
            c = np.zeros((len(z), self.generator.c_dim), np.float32)
            c[:, self.label] = 1
        return np.asarray(self.generator.mapping(z, c, self.psi, self.cutoff))

    def images(
        self, ws: Float[np.ndarray, "n l d"], noise_seeds: Sequence[int]
    ) -> Iterator[UInt8[np.ndarray, "h w c"]]:
        """Draw latents, holding one batch at a time. noise_seeds: each picture's own, for noise_mode "random"."""
        batch = min(self.batch or max(1, min(32, _BATCH_PIXELS // self.generator.img_resolution**2)), len(ws))
        for start in range(0, len(ws), batch):
            rows = np.arange(start, start + batch).clip(max=len(ws) - 1)  # a last batch is filled up: one compilation
            keys = jnp.stack([jax.random.fold_in(jax.random.key(noise_seeds[row]), 1) for row in rows])
            yield from to_uint8(self._synthesize(ws[rows], keys))[: len(ws) - start]

    @cached_property
    def _synthesize(self) -> Callable[[np.ndarray, Key[Array, " b"]], Float[Array, "b h w c"]]:
        """The compiled synthesis of latents [b, l, d]."""
        graphdef, state = nnx.split(self.generator.synthesis)

        @jax.jit
        def synthesize(state: nnx.State, ws: Float[Array, "b l d"], keys: Key[Array, " b"]) -> Float[Array, "b h w c"]:
            synthesis = nnx.merge(graphdef, state)
            if self.noise_mode != "random":
                return synthesis(ws, self.noise_mode, None, self.dtype)
            # One by one, so that a picture's noise does not depend on its place in the batch.
            return jax.vmap(lambda w, key: synthesis(w[None], "random", key, self.dtype)[0])(ws, keys)

        return partial(synthesize, state)


def loop_spline(keys: Float[np.ndarray, "n *size"], frames: int) -> Float[np.ndarray, "t *size"]:
    """A closed cubic spline through n keys, `frames` to each: t = n * frames, and row i * frames is key i.

    Velocity and acceleration are continuous everywhere, also from the last key to the first.
    """
    n = len(keys)
    here, ahead, behind = (np.roll(np.eye(n), shift, axis=1) for shift in (0, 1, -1))  # rows pick key i, i + 1, i - 1
    # Second derivatives at the keys: m[i-1] + 4 m[i] + m[i+1] = 6 (y[i-1] - 2 y[i] + y[i+1]), all weights of the keys.
    bend = np.linalg.solve(behind + 4 * here + ahead, 6 * (behind - 2 * here + ahead))
    part = (np.arange(frames) / frames)[None, :, None]
    rest = 1 - part
    line = rest * here[:, None] + part * ahead[:, None]
    curve = (rest**3 - rest) / 6 * bend[:, None] + (part**3 - part) / 6 * (ahead @ bend)[:, None]
    weights = (line + curve).reshape(n * frames, n)
    return np.tensordot(weights, keys, axes=1).astype(keys.dtype)


def loop_slerp(keys: Float[np.ndarray, "n d"], frames: int) -> Float[np.ndarray, "t d"]:
    """From each key to the next, and from the last to the first, along great circles (Shoemake 1985).

    t = n * frames, and row i * frames is key i; lengths change evenly on the way. Opposite keys have no way.
    """
    lengths = np.linalg.norm(keys, axis=1)[:, None, None]
    units = keys[:, None] / lengths
    following, longer = np.roll(units, -1, axis=0), np.roll(lengths, -1, axis=0)
    angle = np.arccos(np.clip(np.sum(units * following, axis=-1, keepdims=True), -1, 1))
    part = (np.arange(frames) / frames)[None, :, None]
    rest = 1 - part

    def share(x: Float[np.ndarray, "1 t 1"]) -> Float[np.ndarray, "n t 1"]:
        return x * np.sinc(x * angle / np.pi) / np.sinc(angle / np.pi)  # sin(x angle) / sin(angle), also of angle 0

    way = (share(rest) * units + share(part) * following) * (rest * lengths + part * longer)
    return way.reshape(-1, keys.shape[1]).astype(keys.dtype)
