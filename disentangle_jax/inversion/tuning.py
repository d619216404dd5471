"""Pivotal tuning (Roich et al. 2021, arXiv:2106.05744): a generator moves a little until it draws images exactly."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax.batching import render_batch
from disentangle_jax.inversion.optimisation import Distance, as_pytree
from disentangle_jax.latents import sample_ws

_ADAM = optax.scale_by_adam()
_CHUNK = 20  # steps between updates of the progress bar
_SEED = 1
_SAMPLES = 256  # latents whose pictures are to stay as they are


class _State(NamedTuple):
    params: Any  # of the synthesis network, by name
    adam: optax.OptState


class _Task(NamedTuple):
    """The network before tuning, a distance or None, and the weights of the loss."""

    synthesis: sg2.SynthesisNetwork
    distance: Any
    weight: Float[Array, ""]
    locality: Float[Array, ""]


def tune(
    images: Iterable[Float[np.ndarray, "h w c"]],
    ws: Float[Array | np.ndarray, "n l d"],
    generator: sg2.Generator,
    settings: ConfigDict,
    distance: Distance | None = None,
) -> sg2.Generator:
    """A generator that draws these images at these latents, and other pictures nearly as before.

    The loss is that of the images, pixels and distance as in optimisation, and the squared change of pictures of random
    samples. Only the synthesis network moves, so latents mean what they meant.

    Args:
        images: in [-1, 1], of the generator's size. They are iterated over again and again, a few at a time.
        ws: their latents, the pivots.
        generator: the generator, which stays as it is.
        settings: as in `configs/inversion.py`; the steps are those of `tune`.
        distance: what the loss has beside pixels.

    Raises:
        ValueError: there are other numbers of images and of latents.
        FloatingPointError: the loss is not finite.
    """
    ws = np.asarray(ws, np.float32)
    n, steps = len(ws), settings.tune.steps
    size = min(n, settings.batch_size or render_batch(generator.img_resolution))
    samples = sample_ws(generator.mapping, jax.random.key(_SEED), max(size, _SAMPLES), 1.0)
    weight, locality = jnp.float32(settings.weights.distance), jnp.float32(settings.tune.locality)
    task = _Task(generator.synthesis, as_pytree(distance), weight, locality)
    params = nnx.to_pure_dict(nnx.state(generator.synthesis, nnx.Param))
    state, loss = _State(params, _ADAM.init(params)), jnp.zeros(())
    again = _again_and_again(images, n)
    with tqdm(total=steps, desc="tuning the generator", unit=" steps", disable=None) as bar:
        for number in range(steps):
            rows = (number * size + np.arange(size)) % n
            others = samples[(number * size + np.arange(size)) % len(samples)]
            rate = jnp.float32(settings.tune.learning_rate * (0.5 + 0.5 * np.cos(np.pi * number / steps)))
            shown = jnp.asarray(np.stack(list(itertools.islice(again, size))))
            state, loss = _step(state, task, shown, jnp.asarray(ws[rows]), others, rate)
            if (number + 1) % _CHUNK == 0 or number + 1 == steps:
                if not np.isfinite(loss):
                    raise FloatingPointError("the loss of tuning is not finite: lower tune.learning_rate")
                bar.update(number % _CHUNK + 1)
    tuned = nnx.clone(generator)
    nnx.update(tuned.synthesis, state.params)
    return tuned


def _again_and_again(images: Iterable[Float[np.ndarray, "h w c"]], n: int) -> Iterator[Float[np.ndarray, "h w c"]]:
    while True:
        count = 0
        for image in images:
            yield image
            count += 1
        if count != n:
            raise ValueError(f"there are {n} latents and {count} images to tune a generator to")


@jax.jit
def _step(
    state: _State,
    task: _Task,
    images: Float[Array, "n h w c"],
    ws: Float[Array, "n l d"],
    others: Float[Array, "n l d"],
    rate: Float[Array, ""],
) -> tuple[_State, Float[Array, ""]]:
    """One step of Adam, and the loss before it."""
    graphdef, _, rest = nnx.split(task.synthesis, nnx.Param, ...)
    kept = task.synthesis(others)

    def loss(params: Any) -> Float[Array, ""]:
        synthesis = nnx.merge(graphdef, params, rest)
        drawn, sampled = synthesis(ws), synthesis(others)
        total = jnp.mean(jnp.square(drawn - images)) + task.locality * jnp.mean(jnp.square(sampled - kept))
        return total if task.distance is None else total + task.weight * jnp.mean(task.distance(drawn, images))

    value, grads = jax.value_and_grad(loss)(state.params)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
        updates, adam = _ADAM.update(grads, state.adam)
    return _State(jax.tree.map(lambda x, update: x - rate * update, state.params, updates), adam), value
