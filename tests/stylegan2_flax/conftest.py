"""Goldens: the arrays of one file, and generators built from them."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import stylegan2_flax as sg2

FOLDER = Path(__file__).with_name("goldens")


@cache
def _read(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@cache
def _build(name: str) -> sg2.Generator:
    return sg2.from_state_dict(_parameters(name), **_arguments(name))


def _parameters(name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix("param/"): value for key, value in _read(name).items() if key.startswith("param/")}


def _arguments(name: str) -> dict:
    config = json.loads(str(_read(name)["config_json"]))
    return {key: value for key, value in config.items() if key not in ("kind", "truncation_cutoff_used")}


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
    return _build


@pytest.fixture(scope="session")
def relative_error() -> Callable[[object, np.ndarray], float]:
    def error(result: object, expected: np.ndarray) -> float:
        result = np.asarray(result)
        assert result.shape == expected.shape
        return float(np.abs(result - expected).max() / np.abs(expected).max())

    return error
