"""Modules that several tests share. Under importlib's import mode they cannot be imported by name."""

import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2

HERE = Path(__file__).parent
GENERATOR = {
    "z_dim": 8,
    "w_dim": 12,
    "img_resolution": 8,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 128, "channel_max": 8},
}
FILTERS = {(len(taps),) * 2: np.asarray(sg2.ops.setup_filter(taps)) for taps in ((1, 3, 3, 1), (1, 2, 1))}
DISCRIMINATOR = {"img_resolution": 8, "channel_base": 128, "channel_max": 8}


@pytest.fixture(scope="session")
def writers(load_module) -> ModuleType:
    """Pickles with any names in them, and the layouts of torch.save."""
    return load_module(HERE / "writers.py")


@pytest.fixture(scope="session")
def torch_writer(load_module, writers: ModuleType) -> Any:
    """Pickles in the layout of NVIDIA's PyTorch code."""
    return load_module(HERE / "writers_nvidia.py").TorchWriter(writers)


@pytest.fixture(scope="session")
def saved_writer(load_module, writers: ModuleType) -> Any:
    """Networks of NVIDIA's PyTorch code for torch.save."""
    return load_module(HERE / "writers_nvidia.py").SavedWriter(writers)


@pytest.fixture(scope="session")
def tf_writer(load_module, writers: ModuleType) -> Any:
    """Pickles in the layout of NVIDIA's TensorFlow code."""
    return load_module(HERE / "writers_nvidia.py").TFWriter(writers)


@pytest.fixture(scope="session")
def assert_holds() -> Any:
    """Checks that data read from a file hold all arrays of a network, before it is built."""

    def check(data: Any, network: Any) -> None:
        arrays = sg2.to_state_dict(network)
        assert data.kind == network.kind
        assert data.arrays.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(data.arrays[name], array, strict=True)

    return check


@pytest.fixture(scope="session")
def assert_same() -> Any:
    """Checks that two networks compute the same: their modules' definitions and all arrays are equal."""

    def definitions(network: Any) -> dict[str, Any]:
        return {name: nnx.split(part)[0] for name, part in vars(network).items() if isinstance(part, nnx.Module)}

    def check(network: Any, other: Any) -> None:
        assert definitions(network) == definitions(other)
        first, second = sg2.to_state_dict(network), sg2.to_state_dict(other)
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], strict=True)

    return check


@pytest.fixture(scope="session")
def make() -> Any:
    """Small networks with random arrays: `make("generator", c_dim=3)`. Other arguments replace the usual ones.

    The numbers are multiples of 1/1024, so that adding 1 and taking it off again changes nothing.
    Networks are made once: tests must not change them.
    """

    @cache
    def build(kind: str, seed: int, changes: str) -> Any:
        usual, network = (GENERATOR, sg2.Generator) if kind == "generator" else (DISCRIMINATOR, sg2.Discriminator)
        abstract = nnx.eval_shape(lambda: network(**{**usual, **json.loads(changes)}, rngs=nnx.Rngs(0)))
        rng = np.random.default_rng(seed)
        arrays = {}
        for path, leaf in nnx.to_flat_state(nnx.state(abstract)):
            normal = np.round(rng.normal(size=leaf.shape) * 1024).astype(np.float32) / 1024
            arrays[".".join(map(str, path))] = FILTERS[leaf.shape] if path[-1] == "resample_filter" else normal
        return sg2.from_state_dict(arrays, kind, **abstract.init_kwargs)

    return lambda kind, seed=1, **changes: build(kind, seed, json.dumps(changes))
