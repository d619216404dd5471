"""Goldens: the arrays of one file, and networks built from them."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2

FOLDER = Path(__file__).with_name("goldens")


@cache
def _read(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@cache
def _build(name: str, kind: str) -> Any:
    return sg2.from_state_dict(_parameters(name), kind=kind, **_arguments(name))


def _parameters(name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix("param/"): value for key, value in _read(name).items() if key.startswith("param/")}


def _arguments(name: str) -> dict:
    config = json.loads(str(_read(name)["config_json"]))
    return {key: value for key, value in config.items() if key not in ("kind", "truncation_cutoff_used")}


def _randomized(build: Callable[[], nnx.Module]) -> Any:
    graphdef, state = nnx.split(nnx.eval_shape(build))
    rng = np.random.default_rng(0)

    def array(path, leaf):
        if path[-1] == "resample_filter":
            taps = np.array({1: (1,), 3: (1, 2, 1), 4: (1, 3, 3, 1), 5: (1, 2, 3, 2, 1)}[leaf.shape[0]], np.float32)
            return jnp.asarray(np.outer(taps, taps) / np.square(taps.sum()))
        return jnp.asarray(rng.standard_normal(leaf.shape, np.float32))

    values = {path: array(path, leaf) for path, leaf in nnx.to_flat_state(state)}
    nnx.replace_by_pure_dict(state, nnx.traversals.unflatten_mapping(values))
    return nnx.merge(graphdef, state)


@pytest.fixture(scope="session")
def randomized() -> Callable[[Callable[[], nnx.Module]], Any]:
    """The network that a function builds, with random numbers in all but its filters; nothing is compiled."""
    return _randomized


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    return _read


@pytest.fixture(scope="session")
def parameters() -> Callable[[str], dict[str, np.ndarray]]:
    return _parameters


@pytest.fixture(scope="session")
def arguments() -> Callable[[str], dict]:
    return _arguments


@pytest.fixture(scope="session")
def generator() -> Callable[[str], sg2.Generator]:
    """Generators of golden files, built once: tests must not change them."""
    return lambda name: _build(name, "generator")


@pytest.fixture(scope="session")
def discriminator() -> Callable[[str], sg2.Discriminator]:
    """Discriminators of golden files, built once: tests must not change them."""
    return lambda name: _build(name, "discriminator")


@pytest.fixture(scope="session")
def relative_error() -> Callable[[object, np.ndarray], float]:
    def error(result: object, expected: np.ndarray) -> float:
        result = np.asarray(result)
        assert result.shape == expected.shape
        return float(np.abs(result - expected).max() / np.abs(expected).max())

    return error
