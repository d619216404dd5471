"""Assessment of a distilled generator against its truth, for its card."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches
from disentangle_jax.faces.distillation import sample_crossed_ws
from disentangle_jax.faces.factors import NAMES
from disentangle_jax.faces.judge import Judge, read_factors
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import Truth, kind_of
from disentangle_jax.metrics import r2


def assess(generator: sg2.Generator, truth: Truth, key: PRNGKeyArray, n: int) -> dict[str, Any]:
    """Measure a generator on n held-out faces: PSNR to exact renders, R^2 of a judge, and the linearity of W."""
    k_plain, k_mixed, k_linear = jax.random.split(key, 3)
    ws = sample_crossed_ws(generator.mapping, k_plain, n, crossover=0.0)
    mixed = sample_crossed_ws(generator.mapping, k_mixed, n, crossover=1.0)
    images, factors = draw(generator, ws), truth(ws).stack()
    scores = r2(read_factors(Judge.load("judge_b"), images).stack(), factors)
    return {
        "psnr_held_out": round(psnr(_error(images, truth, ws)), 2),
        "psnr_held_out_crossovers": round(psnr(_error(draw(generator, mixed), truth, mixed)), 2),
        "r_squared_of_a_linear_readout_of_w": linearity(generator.mapping, truth, k_linear),
        "r_squared_read_by_judge_b": round(float(scores.mean()), 3),
        "r_squared_per_factor": {name: round(float(score), 3) for name, score in zip(NAMES, scores, strict=True)},
    }


def linearity(mapping: sg2.MappingNetwork, truth: Truth, key: PRNGKeyArray, n: int = 8192) -> dict[str, float]:
    """R^2 of a linear readout of w, fitted to n faces and read on n others: the mean over each kind of factors."""
    ws = sample_crossed_ws(mapping, key, 2 * n, crossover=0.0)
    inputs = jnp.concatenate([ws[:, 0], jnp.ones((2 * n, 1))], axis=1)
    factors = truth(ws).stack()
    scores = r2(inputs[n:] @ jnp.linalg.lstsq(inputs[:n], factors[:n])[0], factors[n:])
    kinds = [kind_of(name) for name in NAMES]
    return {kind: round(float(np.mean(scores[np.array(kinds) == kind])), 3) for kind in dict.fromkeys(kinds)}


def draw(generator: sg2.Generator, ws: Float[Array, "n l d"]) -> Float[Array, "n h w 3"]:
    """Render latents in batches."""
    return jnp.asarray(in_batches(jax.jit(lambda ws: generator.synthesis(ws)), 64, ws))


def psnr(squared_error: Float[Array, ""]) -> float:
    """The PSNR in dB of a mean squared error of images in [-1, 1], whose peak is 2."""
    return float(10.0 * jnp.log10(4.0 / squared_error))


def _error(images: Float[Array, "n h w 3"], truth: Truth, ws: Float[Array, "n l d"]) -> Float[Array, ""]:
    target = in_batches(jax.jit(partial(_render, truth)), 64, ws)
    return jnp.mean((images - jnp.asarray(target)) ** 2)


def _render(truth: Truth, ws: Float[Array, "n l d"]) -> Float[Array, "n h w 3"]:
    return render(truth(ws))
