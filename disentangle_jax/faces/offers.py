"""What the faces offer to stylegan2_flax's trainer, by the names that setup.py gives them (`entry_points`)."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax.faces.factors import sample
from disentangle_jax.faces.judge import Judge
from disentangle_jax.faces.renderer import render
from disentangle_jax.generators import load_generator


def parametric_faces(resolution: int) -> Callable[[PRNGKeyArray, int], Float[Array, "n h w 3"]]:
    """Images to learn from: faces of random factors, drawn as they are needed."""
    return lambda key, n: render(sample(key, n), resolution)


def faces_judge() -> Callable[[Float[Array, "n 64 64 3"]], Float[Array, "n f"]]:
    """Features to compare images by: the hidden layer of judge_b, which scores results everywhere else too."""
    return jax.tree_util.Partial(Judge.features, Judge.load("judge_b"))


def faces64() -> sg2.Generator:
    """A generator to start from: the bundled one."""
    return load_generator("faces64")
