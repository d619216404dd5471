"""The plug-ins of the faces: what setup.py registers under `entry_points`."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jax
from jaxtyping import Array, Float, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.faces.domain import ParametricFaces
from disentangle_jax.faces.factors import sample
from disentangle_jax.faces.judge import Judge
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import Truth
from disentangle_jax.inversion.encoder_network import EncoderNetwork


def parametric_faces(resolution: int) -> Callable[[PRNGKeyArray, int], Float[Array, "n h w 3"]]:
    """Training images: renders of random factors."""
    return lambda key, n: render(sample(key, n), resolution)


def judge_features() -> Callable[[Float[Array, "n 64 64 3"]], Float[Array, "n f"]]:
    """Features for Fréchet distances: the hidden layer of judge_b."""
    return jax.tree_util.Partial(Judge.features, Judge.load("judge_b"))


def faces64() -> sg2.Generator:
    """The bundled generator."""
    network = sg2.load(arrays.asset("faces64", "the package's assets lack faces64.safetensors: install it anew"))
    assert isinstance(network, sg2.Generator)
    return network


def faces64_model() -> Path:
    """The bundled model of the bundled generator: an exported folder, with its card."""
    return Path(str(resources.files("disentangle_jax") / "assets" / "models" / "faces64"))


def faces64_domain() -> ParametricFaces:
    """The domain of the bundled generator."""
    return ParametricFaces(Truth.load("faces64"))


def faces64_encoder() -> EncoderNetwork:
    """The encoder of the bundled generator."""
    missing = "the package's assets lack faces64_encoder.safetensors: install it anew"
    return EncoderNetwork.load(arrays.asset("faces64_encoder", missing))


def judge_a() -> Judge:
    """The judge that finds directions and purifies clips."""
    return Judge.load("judge_a")


def judge_b() -> Judge:
    """The judge that evaluates results."""
    return Judge.load("judge_b")


def faces_judge(path: str) -> Judge:
    """A judge from a file that `train_judge` wrote."""
    return Judge.load(path)
