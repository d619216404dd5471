"""The compiled part of optimisation: Adam on the whitened coordinates of a batch of images, and on noise maps.

With v the coordinates of an image, k of them, and mean squares throughout, the loss of an image is

    |drawn - target|^2 + distance * D(drawn, target) + latent * |v|^2 + spread * |v - mean of its layers|^2
    + offset * |v - base|^2 + neighbour * |v - v of the frame before|^2 + noise * self_similarity(noise maps)

after the projector of Karras et al. 2020 (arXiv:1912.04958, appendix D), which has no base and no penalties on v. The
penalty on the spread of the layers is that of Tov et al. 2021 (arXiv:2102.02766): near W a latent can be edited.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

import stylegan2_flax as sg2
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.inversion.noise import Maps, normalise, self_similarity, with_noise

_ADAM = optax.scale_by_adam()


class Variables(NamedTuple):
    """What Adam moves: whitened coordinates of m layers (one in W, where all are alike), and noise maps.

    Attributes:
        base: what the frames of a clip have in common; 0 for other images.
        offsets: the coordinates of each image are base + offsets.
        noise: maps for all images or for each.
    """

    base: Float[Array, "1 m d"]
    offsets: Float[Array, "n m d"]
    noise: Maps

    @property
    def v(self) -> Float[Array, "n m d"]:
        """The coordinates."""
        return jnp.broadcast_to(self.base, self.offsets.shape) + self.offsets


class Batch(NamedTuple):
    """Images to invert together.

    Attributes:
        targets: the images.
        present: 1 for an image, 0 for a copy that fills the batch up.
        before: the coordinates of the frame before the first.
        linked: 1 for an image that follows the one before it in a clip.
        bound: 1 for the frames of a clip, which are held near their base.
        moves_base, moves_noise: 1 if they are to be found, 0 if they are given.
    """

    targets: Float[Array, "n h w c"]
    present: Float[Array, "n"]
    before: Float[Array, "1 m d"]
    linked: Float[Array, "n"]
    bound: Float[Array, ""]
    moves_base: Float[Array, ""]
    moves_noise: Float[Array, ""]


class Networks(NamedTuple):
    """The generator's synthesis network, a perceptual distance (a callable pytree, or None), and the latent space."""

    synthesis: sg2.SynthesisNetwork
    distance: Any
    space: LatentSpace


class Hyperparameters(NamedTuple):
    """The numbers of the config, as arrays, so that others need no other program."""

    steps: Float[Array, ""]
    learning_rate: Float[Array, ""]
    exploration: Float[Array, ""]
    warmup: Float[Array, ""]
    cooldown: Float[Array, ""]
    explore_until: Float[Array, ""]
    max_deviation: Float[Array, ""]
    distance: Float[Array, ""]
    latent: Float[Array, ""]
    spread: Float[Array, ""]
    offset: Float[Array, ""]
    neighbour: Float[Array, ""]
    noise: Float[Array, ""]


class State(NamedTuple):
    """Variables and the state of Adam."""

    variables: Variables
    adam: optax.OptState

    @classmethod
    def start(cls, variables: Variables) -> "State":
        return cls(variables, _ADAM.init(variables))


@jax.jit
def step(
    state: State, batch: Batch, networks: Networks, hyperparameters: Hyperparameters, step_index: Int[Array, ""]
) -> tuple[State, Float[Array, "n"]]:
    """Make one step, `step_index` of `hyperparameters.steps`. Returns the squared error of each image before it, too.

    The loop over steps is one of Python: within a compiled loop XLA's convolutions take six times as long on CPUs
    (github.com/jax-ml/jax/issues/12868), and elsewhere steps are dispatched ahead.
    """
    variables, adam = state
    progress = step_index.astype(jnp.float32) / hyperparameters.steps
    jitter = _exploration(step_index, progress, variables.offsets, hyperparameters)
    grads, errors = jax.grad(_loss, has_aux=True)(variables, jitter, batch, networks, hyperparameters)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
        updates, adam = _ADAM.update(grads, adam)
    moves = Variables(batch.moves_base, jnp.ones(()), {name: batch.moves_noise for name in variables.noise})
    rate = -_rate(progress, hyperparameters)
    variables = jax.tree.map(lambda x, update, moves: x + rate * moves * update, variables, updates, moves)
    return State(_bounded(variables, hyperparameters.max_deviation), adam), errors


def draw(variables: Variables, v: Float[Array, "n m d"], networks: Networks) -> Float[Array, "n h w c"]:
    """The images at coordinates v, with the noise maps of the variables."""
    ws = networks.space.unwhiten(v)
    ws = jnp.broadcast_to(ws, (len(ws), networks.synthesis.num_ws, ws.shape[2]))
    return with_noise(networks.synthesis, variables.noise)(ws)


def _loss(
    variables: Variables,
    jitter: Float[Array, "n m d"],
    batch: Batch,
    networks: Networks,
    hyperparameters: Hyperparameters,
) -> tuple[Float[Array, ""], Float[Array, "n"]]:
    """The sum over the images that are present, and the squared error of each."""
    v = variables.v
    drawn = draw(variables, v + jitter, networks)
    errors = jnp.mean(jnp.square(drawn - batch.targets), axis=(1, 2, 3))
    before = jnp.concatenate([batch.before, v[:-1]])
    total = (
        errors
        + hyperparameters.latent * _mean_square(v)
        + hyperparameters.spread * _mean_square(v - jnp.mean(v, axis=1, keepdims=True))
        + hyperparameters.offset * batch.bound * _mean_square(variables.offsets)
        + hyperparameters.neighbour * batch.linked * _mean_square(v - before)
    )
    if networks.distance is not None:
        total += hyperparameters.distance * networks.distance(drawn, batch.targets)
    return jnp.sum(batch.present * total) + hyperparameters.noise * self_similarity(variables.noise), errors


def _mean_square(x: Float[Array, "n m d"]) -> Float[Array, "n"]:
    return jnp.mean(jnp.square(x), axis=(1, 2))


def _rate(progress: Float[Array, ""], hyperparameters: Hyperparameters) -> Float[Array, ""]:
    """The learning rate: a linear warm-up over the share `warmup` of all steps, a cosine over the last `cooldown`."""
    rise, fall = _part(progress, hyperparameters.warmup), _part(1.0 - progress, hyperparameters.cooldown)
    return hyperparameters.learning_rate * rise * (0.5 - 0.5 * jnp.cos(jnp.pi * fall))


def _exploration(
    step_index: Int[Array, ""],
    progress: Float[Array, ""],
    like: Float[Array, "n m d"],
    hyperparameters: Hyperparameters,
) -> Float[Array, "n m d"]:
    """Noise on the coordinates that dies out, so that a search from far away does not stay in the next valley."""
    share = 1.0 - _part(progress, hyperparameters.explore_until)
    return hyperparameters.exploration * share**2 * jax.random.normal(jax.random.key(step_index), like.shape)


def _part(progress: Float[Array, ""], share: Float[Array, ""]) -> Float[Array, ""]:
    """How much of a phase that takes this share of all steps lies behind; of a share of 0, all of it."""
    return jnp.where(share > 0, jnp.minimum(1.0, progress / jnp.where(share > 0, share, 1.0)), 1.0)


def _bounded(variables: Variables, most: Float[Array, ""]) -> Variables:
    """With no layer further than `most` standard deviations from the mean, and noise of mean 0 and variance 1."""
    v = variables.v
    far = jnp.sqrt(jnp.mean(jnp.square(v), axis=2, keepdims=True))
    near = jnp.broadcast_to(jnp.minimum(1.0, most / jnp.maximum(far, 1e-6)), v.shape) * v
    return variables._replace(offsets=variables.offsets + (near - v), noise=normalise(variables.noise))
