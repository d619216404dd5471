"""Distillation of the renderer into a StyleGAN2 synthesis network, as pure functions.

In training, the input of each layer is not w, but the truth's projections of w for the factors of that layer, so that
W+ has the meaning that the truth defines. The projections are linear. At the end they are folded into the affine
layers, which then take w.
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
    """Everything that changes in training."""

    step: Int[Array, ""]
    params: PyTree
    ema_params: PyTree
    opt_state: optax.OptState


class Task(NamedTuple):
    """The distillation at one resolution.

    Attributes:
        graphdef, buffers: the synthesis network without its parameters.
        mapping: the fixed mapping network.
        truth: maps latents to factors.
        resolution: height and width of the images in pixels.
    """

    graphdef: nnx.GraphDef
    buffers: PyTree
    mapping: sg2.MappingNetwork
    truth: Truth
    resolution: int

    def draw(self, params: PyTree, ws: Float[Array, "n l d"]) -> Float[Array, "n h w 3"]:
        """The images of the network."""
        synthesis = nnx.merge(self.graphdef, params, self.buffers)
        return synthesis(layer_inputs(self.truth, ws)[:, : synthesis.num_ws], noise_mode="none")

    def targets(self, ws: Float[Array, "n l d"]) -> Float[Array, "n h w 3"]:
        """The target images: renders, downsampled to the resolution."""
        images = render(self.truth(ws))
        while images.shape[1] > self.resolution:
            images = halve(images)
        return images

    def squared_error(self, params: PyTree, ws: Float[Array, "n l d"]) -> Float[Array, " n"]:
        """The mean squared error of each image."""
        return jnp.mean((self.draw(params, ws) - self.targets(ws)) ** 2, axis=(1, 2, 3))


def init_state(params: PyTree, optimizer: optax.GradientTransformation) -> TrainState:
    """The initial state."""
    return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))


def make_step(
    task: Task, optimizer: optax.GradientTransformation, config: ConfigDict, mesh: Mesh
) -> Callable[[TrainState], tuple[TrainState, dict[str, Array]]]:
    """The jitted train step on random latents and their renders: state -> (state, metrics). The state is donated."""
    over_batch = parallel.over_batch(mesh)

    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step + 1_000_000 * task.resolution)
        ws = sample_crossed_ws(task.mapping, key, config.train.batch_size, crossover=0.0)
        ws = jax.lax.with_sharding_constraint(ws, over_batch)
        targets = task.targets(ws)

        def loss_fn(params: PyTree) -> Float[Array, ""]:
            return distillation_loss(task.draw(params, ws), targets, config.loss)

        value, gradients = jax.value_and_grad(loss_fn)(state.params)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            updates, opt_state = optimizer.update(gradients, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        ema_params = optax.incremental_update(params, state.ema_params, 1.0 - config.optimizer.ema_decay)
        return TrainState(state.step + 1, params, ema_params, opt_state), {"loss": value}

    return jax.jit(step, donate_argnums=0, out_shardings=parallel.replicated(mesh))


def sample_crossed_ws(
    mapping: sg2.MappingNetwork, key: PRNGKeyArray, n: int, crossover: float
) -> Float[Array, "n l d"]:
    """Sample the ws of n faces. With probability `crossover`, the layers from a cut in `CUTS` on are another face's."""
    k_z, k_cut, k_share = jax.random.split(key, 3)
    ws = mapping(jax.random.normal(k_z, (2 * n, mapping.z_dim)))
    num_ws = ws.shape[1]
    cut = jax.random.choice(k_cut, jnp.array(CUTS), (n,))
    cut = jnp.where(jax.random.uniform(k_share, (n,)) < crossover, cut, num_ws)
    return take_layers_from(cut, ws[:n], ws[n:])


def layer_inputs(truth: Truth, ws: Float[Array, "n l d"]) -> Float[Array, "n l f"]:
    """The inputs of the layers in training: the projections of ws for the factors of each layer."""
    return truth.project(ws) * (truth.owners > 0.0)[None].astype(jnp.float32)


def make_student(resolution: int, channels: ConfigDict, seed: int) -> sg2.SynthesisNetwork:
    """Create a synthesis network that takes the truth's projections instead of w."""
    return sg2.SynthesisNetwork(len(NAMES), resolution, 3, **channels, rngs=nnx.Rngs(seed))


def halve(images: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Downsample by averaging 2 x 2 pixels."""
    n, h, w, c = images.shape
    return images.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def distillation_loss(
    drawn: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"], weights: ConfigDict
) -> Float[Array, ""]:
    """A weighted sum of image distances.

    The terms are the squared error of the images and of both image gradients, with weights for each pixel; a smoothed
    L1 norm of the three; and the squared error at half the resolution. The gradient terms preserve small features: with
    a plain L1 loss faces have no eyes.

    Args:
        drawn, target: images in [-1, 1].
        weights: weights `squares`, `smooth` and `half` of the terms; and `center`, the additional weight of a pixel at
            the center of the image.
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
    """Copy the trained weights into the generator, with the projections folded into its affine layers.

    A (P (w - m)) + b = (A P) w + (b - A P m), with P the projections of the layer. The equalized learning rate divides
    weights by the square root of the number of inputs. The generator's mean latent becomes that of the truth.
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
