"""The goldens: outputs of the published encoders' own code on weights and pictures that seeds make again."""

import json
import math
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.inversion.published import Encoder

FOLDER = Path(__file__).with_name("goldens")


class Golden:
    """One case of a project: the state dict and the inputs as its seed makes them, and the published code's output."""

    def __init__(self, project: str, case: str):
        content = json.loads((FOLDER / f"{project}.json").read_text())
        self._seed, self._case = content["seed"], content["cases"][case]
        with np.load(FOLDER / f"{project}.npz") as file:
            self.output = file[f"{case}/out"]
        if self.output.ndim == 4:
            self.output = self.output.transpose(0, 2, 3, 1)

    def stand_ins(self) -> dict[str, np.ndarray]:
        """Arrays of half precision in the state dict's shapes, which cost less to make and to store."""
        values = np.random.default_rng(self._seed).standard_normal(1009)
        return {name: _stand_in(values, name, shape) for name, shape in self._case["state"]}

    def state_dict(self) -> dict[str, np.ndarray]:
        return {name: self._array(name, shape) for name, shape in self._case["state"]}

    def inputs(self) -> list[np.ndarray]:
        """[n, h, w, c] each."""
        return [self._picture(*shape) for shape in self._case.get("inputs", [self._case.get("input")])]

    def error(self, output: object) -> float:
        """The largest difference from the published code's output, in units of its largest value."""
        output = np.asarray(output)
        assert output.shape == self.output.shape
        return float(np.abs(output - self.output).max() / np.abs(self.output).max())

    def _array(self, name: str, shape: list[int]) -> np.ndarray:
        rng = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        if name.endswith("num_batches_tracked"):
            return np.array(0)
        if name.endswith("running_var"):
            array = rng.uniform(0.5, 1.5, shape)
        elif name.endswith(("running_mean", "bias")):
            array = 0.1 * rng.standard_normal(shape)
        elif len(shape) == 1:
            array = rng.uniform(0.5, 1.0, shape)
        elif len(shape) == 2 and ".linear." in name:
            array = rng.standard_normal(shape)
        else:
            array = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        return array.astype(np.float32)

    def _picture(self, n: int, c: int, h: int, w: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, n, c, h])
        coarse = rng.standard_normal((n, c, h // 8, w // 8))
        noise = rng.standard_normal((n, c, h, w))
        picture = np.tanh(np.kron(coarse, np.ones((8, 8))) * 0.5 + 0.1 * noise)
        return picture.astype(np.float32).transpose(0, 2, 3, 1)


def _stand_in(values: np.ndarray, name: str, shape: list[int]) -> np.ndarray:
    array = np.resize(values, shape) / math.sqrt(math.prod(shape[1:]))
    return np.asarray(abs(array) + 0.5 if name.endswith("running_var") else array, np.float16)


@pytest.fixture(scope="session")
def golden() -> Callable[[str, str], Golden]:
    return cache(Golden)


@pytest.fixture(scope="session")
def single_style_arrays(golden: Callable[[str, str], Golden]) -> dict[str, np.ndarray]:
    return golden("e4e", "SingleStyleCodeEncoder/32").stand_ins()


@pytest.fixture(scope="session")
def restyle_arrays(golden: Callable[[str, str], Golden]) -> dict[str, np.ndarray]:
    """Of a ResNetProgressiveBackboneEncoder for 4 latents."""
    arrays = golden("restyle", "restyle_e4e/ResNetProgressiveBackboneEncoder").stand_ins()
    left_out = tuple(f"styles.{i}." for i in range(4, 8))
    return {name: array for name, array in arrays.items() if not name.startswith(left_out)}


@pytest.fixture(scope="session")
def average() -> np.ndarray:
    """A mean latent [512]."""
    return np.random.default_rng(3).standard_normal(512).astype(np.float32)


@pytest.fixture(scope="session")
def generator(average: np.ndarray) -> sg2.Generator:
    """8 px, so 4 latents."""
    blocks = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"channel_base": 64, "channel_max": 8}}
    generator = jax.jit(lambda: sg2.Generator(512, 0, 512, 8, 3, **blocks, rngs=nnx.Rngs(0)))()
    generator.mapping.w_avg[...] = average
    return generator


@pytest.fixture(scope="session")
def draw(generator: sg2.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Latents to the generator's pictures."""
    compiled = jax.jit(lambda synthesis, ws: synthesis(ws))
    return lambda ws: np.asarray(compiled(generator.synthesis, ws))


class TinyNetwork(nnx.Module):
    """Each code is a linear function of the mean colours of the quarters of all channels."""

    def __init__(self, num_ws: int, in_channels: int):
        self.in_channels = in_channels
        weight = np.random.default_rng(num_ws).standard_normal((4 * in_channels, num_ws, 512)) / 4
        self.weight = nnx.Param(jnp.asarray(weight, jnp.float32))

    def __call__(self, x):
        n, h, w, c = x.shape
        quarters = x.reshape(n, 2, h // 2, 2, w // 2, c).mean((2, 4)).reshape(n, 4 * c)
        return jnp.einsum("ni,ild->nld", quarters, self.weight[...], precision="highest")


@pytest.fixture
def tiny_encoder() -> Callable[..., Encoder]:
    """An encoder whose network is small; `in_rounds` makes it ReStyle's."""

    def make(num_ws: int = 4, in_rounds: bool = False, **options) -> Encoder:
        return Encoder(TinyNetwork(num_ws, 6 if in_rounds else 3), num_ws, in_rounds=in_rounds, **options)

    return make
