"""How a StyleGAN2 learns to draw what a truth says: pure functions of the training.

While it learns, each layer is shown the truth's projections of w, and of those only the ones that the layer owns, so
that W+ means what the truth says. Being linear, the projections are folded into the affine layers at the end, which
then take plain w.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.faces.factors import NAMES
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import CUTS, Truth
from disentangle_jax.latents import take_layers_from
from stylegan2_flax.run import parallel


class TrainState(NamedTuple):
    """All that the training carries from step to step."""

    step: Int[Array, ""]
    params: PyTree
    ema_params: PyTree
    opt_state: optax.OptState


class Lesson(NamedTuple):
    """What is learnt, at one size.

    Attributes:
        graphdef, buffers: the synthesis network without its parameters.
        mapping: the fixed network whose latents are drawn.
        truth: what they stand for.
        resolution: of the pictures.
    """

    graphdef: nnx.GraphDef
    buffers: PyTree
    mapping: sg2.MappingNetwork
    truth: Truth
    resolution: int

    def draw(self, params: PyTree, ws: Float[Array, "n l d"]) -> Float[Array, "n h w 3"]:
        """What the network draws for these latents."""
        synthesis = nnx.merge(self.graphdef, params, self.buffers)
        return synthesis(shown(self.truth, ws)[:, : synthesis.num_ws], noise_mode="none")

    def targets(self, ws: Float[Array, "n l d"]) -> Float[Array, "n h w 3"]:
        """What it should draw."""
        images = render(self.truth(ws))
        while images.shape[1] > self.resolution:
            images = halve(images)
        return images

    def squared_error(self, params: PyTree, ws: Float[Array, "n l d"]) -> Float[Array, " n"]:
        """Of each picture, the mean over its pixels."""
        return jnp.mean((self.draw(params, ws) - self.targets(ws)) ** 2, axis=(1, 2, 3))


def init_state(params: PyTree, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))


def make_step(
    lesson: Lesson, optimizer: optax.GradientTransformation, config: ConfigDict, mesh: Mesh
) -> Callable[[TrainState], tuple[TrainState, dict[str, Array]]]:
    """The jitted step: fresh latents, their renders, a descent, and the moving average of the weights.

    The state that goes in is given up (donated).
    """
    over_batch = parallel.over_batch(mesh)

    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step + 1_000_000 * lesson.resolution)
        ws = sample_ws(lesson.mapping, key, config.train.batch_size, crossover=0.0)
        ws = jax.lax.with_sharding_constraint(ws, over_batch)
        targets = lesson.targets(ws)

        def loss_fn(params: PyTree) -> Float[Array, ""]:
            return loss(lesson.draw(params, ws), targets, config.loss)

        value, gradients = jax.value_and_grad(loss_fn)(state.params)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            updates, opt_state = optimizer.update(gradients, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        ema_params = optax.incremental_update(params, state.ema_params, 1.0 - config.optimizer.ema_decay)
        return TrainState(state.step + 1, params, ema_params, opt_state), {"loss": value}

    return jax.jit(step, donate_argnums=0, out_shardings=parallel.replicated(mesh))


def sample_ws(mapping: sg2.MappingNetwork, key: PRNGKeyArray, n: int, crossover: float) -> Float[Array, "n l d"]:
    """ws of n random faces; a share of them takes the layers from one of the truth's cuts on from another face."""
    k_z, k_cut, k_share = jax.random.split(key, 3)
    ws = mapping(jax.random.normal(k_z, (2 * n, mapping.z_dim)))
    num_ws = ws.shape[1]
    cut = jax.random.choice(k_cut, jnp.array(CUTS), (n,))
    cut = jnp.where(jax.random.uniform(k_share, (n,)) < crossover, cut, num_ws)
    return take_layers_from(cut, ws[:n], ws[n:])


def shown(truth: Truth, ws: Float[Array, "n l d"]) -> Float[Array, "n l f"]:
    """What the layers are shown of ws while they learn."""
    return truth.project(ws) * (truth.owners > 0.0)[None].astype(jnp.float32)


def student(resolution: int, channels: ConfigDict, seed: int) -> sg2.SynthesisNetwork:
    """A synthesis network whose w are the truth's projections."""
    return sg2.SynthesisNetwork(len(NAMES), resolution, 3, **channels, rngs=nnx.Rngs(seed))


def halve(images: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Means over 2 x 2 pixels."""
    n, h, w, c = images.shape
    return images.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def loss(drawn: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"], weights: ConfigDict) -> Float[Array, ""]:
    """The distance between what was drawn and what should have been.

    Squared error and that of both image gradients, weighted by the pixel; a smoothed L1 of the three; squared error at
    half size. The gradient terms keep small features alive: a plain L1 leaves faces without eyes.

    Args:
        drawn, target: images in [-1, 1].
        weights: of the terms: `squares`, `smooth`, `half`; and `center`, by which a pixel in the picture's middle
            weighs more than one at its edge, which weighs 1.
    """
    ticks = (jnp.arange(drawn.shape[1], dtype=jnp.float32) + 0.5) / drawn.shape[1] * 2.0 - 1.0
    center = jnp.exp(-(ticks[:, None] ** 2 + ticks[None, :] ** 2) / 0.3)[None, :, :, None]
    weight = 1.0 + weights.center * center
    error = drawn - target
    down, right = error[:, 1:] - error[:, :-1], error[:, :, 1:] - error[:, :, :-1]
    squares = jnp.mean(weight * error**2) + jnp.mean(weight[:, 1:] * down**2) + jnp.mean(weight[:, :, 1:] * right**2)
    smooth = _smooth_l1(error) + _smooth_l1(down) + _smooth_l1(right)
    return weights.squares * squares + weights.smooth * smooth + weights.half * jnp.mean(halve(error) ** 2)


def _smooth_l1(error: Float[Array, "n h w c"]) -> Float[Array, ""]:
    return jnp.mean(jnp.sqrt(error**2 + 1e-4))


def fold(generator: sg2.Generator, trained: sg2.SynthesisNetwork, truth: Truth) -> None:
    """Put the trained weights into the generator; its affine layers take w: A (P (w - m)) + b = (A P) w + (b - A P m).

    P is the projection that the layer was shown; the equalised learning rate divides a weight by the root of its
    columns. The generator's mean latent becomes the truth's.
    """
    projection = (truth.owners > 0.0)[:, :, None].astype(jnp.float32) * (truth.p @ truth.whiten)[None]
    row_of = {tuple(name.split(".")): row for name, row, _ in generator.synthesis.styled_layers()}
    source: dict[tuple, Any] = dict(nnx.iter_modules(trained))
    target: dict[tuple, Any] = dict(nnx.iter_modules(generator.synthesis))
    for path, module in target.items():
        if path and path[-1] == "affine":
            scaled = source[path].weight[...] / math.sqrt(trained.w_dim) @ projection[row_of[path[:-1]]]
            module.weight[...] = scaled * math.sqrt(generator.w_dim)
            module.bias[...] = source[path].bias[...] - scaled @ truth.mean
        else:
            for name, value in vars(module).items():
                if isinstance(value, nnx.Param):
                    value[...] = getattr(source[path], name)[...]
    generator.mapping.w_avg[...] = truth.mean
