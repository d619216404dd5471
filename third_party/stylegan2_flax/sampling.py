"""Images of numbered seeds, and interpolations between latents for videos. `sample` is the command."""

import math
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

_BATCH_PIXELS = 2**21  # two images of 1024 px, so that a batch needs a few gigabytes at most


@dataclass(frozen=True)
class Sampler:
    """Generates images of numbered seeds.

    Attributes:
        generator: the generator.
        psi: truncation: 1 for none, 0 for the mean latent.
        cutoff: number of layers to truncate; None for all.
        label: class of a conditional generator.
        noise_mode: see `SynthesisNetwork.__call__`.
        dtype: dtype of the high resolutions.
        batch: images in a batch; None for a number that depends on their size. Images do not depend on it, except for
            rounding.
        numpy_seeds: whether seeds mean the same as in NVIDIA's programs: z = RandomState(seed).randn(1, z_dim).

    Raises:
        ValueError: psi is not finite, the generator has no such class or layers, or the batch is below 1.
    """

    generator: Generator
    psi: float = 1.0
    cutoff: int | None = None
    label: int | None = None
    noise_mode: str = "const"
    dtype: DTypeLike = jnp.float32
    batch: int | None = None
    numpy_seeds: bool = False

    def __post_init__(self):
        if not math.isfinite(self.psi):
            raise ValueError(f"psi must be a finite number, got {self.psi}")
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
        """The random vectors of seeds in [0, 2^32). Each depends on its seed only."""
        size = self.generator.z_dim
        if self.numpy_seeds:  # NumPy's legacy generator
            rows = [np.random.RandomState(seed).randn(1, size)[0] for seed in seeds]
        else:
            rows = [jax.random.normal(jax.random.key(seed), (size,)) for seed in seeds]
        return np.asarray(rows, np.float32).reshape(len(seeds), size)

    def ws(self, z: Float[np.ndarray, "n z"]) -> Float[np.ndarray, "n l d"]:
        """Map random vectors to truncated latents."""
        c = None
        if self.label is not None:
            c = np.zeros((len(z), self.generator.c_dim), np.float32)
            c[:, self.label] = 1
        return np.asarray(self.generator.mapping(z, c, self.psi, self.cutoff))

    def images(
        self, ws: Float[np.ndarray, "n l d"], noise_seeds: Sequence[int]
    ) -> Iterator[UInt8[np.ndarray, "h w c"]]:
        """Yield the images of latents, computed in batches.

        Args:
            ws: latents.
            noise_seeds: a seed for each image, for noise_mode "random".
        """
        batch = min(self.batch or max(1, min(32, _BATCH_PIXELS // self.generator.img_resolution**2)), len(ws))
        for start in range(0, len(ws), batch):
            rows = np.arange(start, start + batch).clip(max=len(ws) - 1)  # the last batch is padded, to compile once
            keys = jnp.stack([jax.random.fold_in(jax.random.key(noise_seeds[row]), 1) for row in rows])
            yield from to_uint8(self._synthesize(ws[rows], keys))[: len(ws) - start]

    @cached_property
    def _synthesize(self) -> Callable[[np.ndarray, Key[Array, " b"]], Float[Array, "b h w c"]]:
        """The jitted synthesis of latents [b, l, d]."""
        graphdef, state = nnx.split(self.generator.synthesis)

        @jax.jit
        def synthesize(state: nnx.State, ws: Float[Array, "b l d"], keys: Key[Array, " b"]) -> Float[Array, "b h w c"]:
            synthesis = nnx.merge(graphdef, state)
            if self.noise_mode != "random":
                return synthesis(ws, self.noise_mode, None, self.dtype)
            # By vmap, so that the noise of an image does not depend on its index in the batch.
            return jax.vmap(lambda w, key: synthesis(w[None], "random", key, self.dtype)[0])(ws, keys)

        return partial(synthesize, state)


def loop_spline(keys: Float[np.ndarray, "n *size"], frames: int) -> Float[np.ndarray, "t *size"]:
    """A closed cubic spline through n keys, with continuous velocity and acceleration.

    Args:
        keys: at least two points.
        frames: frames from each key to the next.

    Returns:
        t = n * frames points; point i * frames is key i.
    """
    from scipy.interpolate import CubicSpline  # slow to import, and only videos need it

    spline = CubicSpline(np.arange(len(keys) + 1), np.concatenate([keys, keys[:1]]), bc_type="periodic")
    return spline(np.arange(len(keys) * frames) / frames).astype(keys.dtype)


def loop_slerp(keys: Float[np.ndarray, "n d"], frames: int) -> Float[np.ndarray, "t d"]:
    """Spherical interpolation (Shoemake 1985) from each key to the next, and from the last to the first.

    Lengths are interpolated linearly. Two opposite keys have no unique interpolation.

    Args:
        keys: the points.
        frames: frames from each key to the next.

    Returns:
        t = n * frames points; point i * frames is key i.
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
