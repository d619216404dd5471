"""One train step: generator, its regulariser, discriminator, its regulariser; jitted functions of plain data.

The order, the lazy regularisers and the figures are those of StyleGAN2-ADA (Karras et al. 2020, arXiv:2006.06676).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key, PyTree
from ml_collections import ConfigDict

from stylegan2_flax.augment import augment, next_probability
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.gan.state import TrainState, streams
from stylegan2_flax.generator import Generator
from stylegan2_flax.layers import Buffer
from stylegan2_flax.losses import discriminator_loss, generator_loss, mix_styles, path_length_penalty, r1_penalty
from stylegan2_flax.optimizer import ema_decay, lazy_adam
from stylegan2_flax.run import devices as parallel

Images = Float[Array, "b h w c"]
Figures = dict[str, Float[Array, ""]]
Outcome = tuple[Float[Array, ""], tuple[Figures, dict[str, Any]]]
"""The loss, figures to count, and fields of the state to replace."""
TrainStep = Callable[[TrainState, Images, int], tuple[TrainState, Figures]]


def make_optimizers(config: ConfigDict) -> dict[str, optax.GradientTransformation]:
    """Adam of both networks, corrected for the lazy regularisers that `config.loss` turns on."""
    loss, chosen = config.loss, config.optimizer
    intervals = {
        "generator": loss.path_length.interval if loss.path_length.weight > 0 else None,
        "discriminator": loss.r1.interval if loss.r1.gamma > 0 else None,
    }
    return {
        name: lazy_adam(chosen[name].learning_rate, chosen.b1, chosen.b2, interval=interval)
        for name, interval in intervals.items()
    }


def make_train_step(
    config: ConfigDict,
    graphdefs: dict[str, nnx.GraphDef],
    optimizers: dict[str, optax.GradientTransformation],
    mesh: Mesh,
) -> TrainStep:
    """The train step: (state, real images, step) -> state, figures of this step; step is the state's, as known without
    waiting for it.

    The state that goes in is given up (donated).
    """
    phases = _Phases(config, graphdefs, optimizers, mesh, streams(config.seed).steps)
    # A program for each phase, not for each combination of them: main phases then compile once, not three times.
    compiled = partial(jax.jit, donate_argnums=0, out_shardings=parallel.replicated(mesh))
    generator_main, generator_path_length = compiled(phases.generator_main), compiled(phases.generator_path_length)
    discriminator_main, discriminator_r1 = compiled(phases.discriminator_main), compiled(phases.discriminator_r1)
    finish, path_length, r1 = compiled(phases.finish), config.loss.path_length, config.loss.r1
    alone = config.train.alone_kimg * 1000

    def train_step(state: TrainState, images: Images, step: int) -> tuple[TrainState, Figures]:
        figures: Figures = {}
        due = []
        if step * config.train.batch_size >= alone:
            due.append(generator_main)
            if path_length.weight > 0 and step % path_length.interval == 0:
                due.append(generator_path_length)
        due.append(partial(discriminator_main, images=images))
        if r1.gamma > 0 and step % r1.interval == 0:
            due.append(partial(discriminator_r1, images=images))
        for phase in due:
            state, values = phase(state)
            figures |= values
        return finish(state), figures

    return train_step


@dataclass(frozen=True, eq=False)
class _Phases:
    """The phases of a step: each gives the state after it, in which one of the networks is updated, and its figures."""

    config: ConfigDict
    graphdefs: dict[str, nnx.GraphDef]
    optimizers: dict[str, optax.GradientTransformation]
    mesh: Mesh
    key: Key[Array, ""]

    def generator_main(self, state: TrainState) -> tuple[TrainState, Figures]:
        draw_key, augment_key = self._keys(state, 0, 2)

        def loss(params: PyTree) -> Outcome:
            generator, discriminator = self._networks(state, generator=params)
            fake = self._fake_images(generator, draw_key)
            logits = self._logits(discriminator, state, augment_key, fake)
            value = generator_loss(logits)
            return value, ({"Loss/G/loss": value} | _scores("fake", logits), self._with_mean_latent(state, generator))

        return self._update(state, "generator", loss)

    def generator_path_length(self, state: TrainState) -> tuple[TrainState, Figures]:
        latent_key, noise_key, direction_key = self._keys(state, 1, 3)
        plan = self.config.loss.path_length
        batch = max(1, self.config.train.batch_size // plan.batch_shrink)

        def loss(params: PyTree) -> Outcome:
            generator, _ = self._networks(state, generator=params)
            ws = self._latents(generator, latent_key, batch)
            synthesize = partial(self._synthesize, generator, noise_key)
            direction = self._normal(direction_key, jax.eval_shape(synthesize, ws).shape)
            penalty, mean = path_length_penalty(synthesize, ws, direction, state.path_length, plan.decay)
            value = plan.weight * jnp.mean(penalty)
            figures = {"Loss/G/reg": value, "Loss/pl_penalty": jnp.mean(penalty)}
            return value * plan.interval, (figures, self._with_mean_latent(state, generator) | {"path_length": mean})

        return self._update(state, "generator", loss)

    def discriminator_main(self, state: TrainState, images: Images) -> tuple[TrainState, Figures]:
        draw_key, fake_key, real_key = self._keys(state, 2, 3)
        generator, _ = self._networks(state)
        fake = self._fake_images(generator, draw_key)
        state = state._replace(**self._with_mean_latent(state, generator))

        def loss(params: PyTree) -> Outcome:
            _, discriminator = self._networks(state, discriminator=params)
            fake_logits = self._logits(discriminator, state, fake_key, fake)
            real_logits = self._logits(discriminator, state, real_key, images)
            value = discriminator_loss(real_logits, fake_logits)
            figures = {"Loss/D/loss": value} | _scores("fake", fake_logits) | _scores("real", real_logits)
            return value, (figures, {"signs": state.signs + figures["Loss/signs/real"]})

        return self._update(state, "discriminator", loss)

    def discriminator_r1(self, state: TrainState, images: Images) -> tuple[TrainState, Figures]:
        (key,), plan = self._keys(state, 3, 1), self.config.loss.r1

        def loss(params: PyTree) -> Outcome:
            _, discriminator = self._networks(state, discriminator=params)
            penalty = jnp.mean(r1_penalty(partial(self._logits, discriminator, state, key), images))
            value = plan.gamma / 2 * penalty
            return value * plan.interval, ({"Loss/D/reg": value, "Loss/r1_penalty": penalty}, {})

        return self._update(state, "discriminator", loss)

    def finish(self, state: TrainState) -> TrainState:
        """The running average of the generator, and the strength of augmentation, after all phases."""
        batch, ema, plan = self.config.train.batch_size, self.config.ema, self.config.augment
        seen = state.step.astype(jnp.float32) * batch
        decay = ema_decay(batch, ema.kimg, ema.rampup if ema.rampup > 0 else None, seen)
        average = optax.incremental_update(state.params["generator"], state.ema, 1.0 - decay)
        due = (state.step + 1) % plan.interval == 0
        p = state.augment_p
        if plan.mode == "ada":
            adapted = next_probability(p, state.signs / plan.interval, batch, plan.interval, plan.target, plan.kimg)
            p = jnp.where(due, adapted, p)
        signs = jnp.where(due, 0.0, state.signs)
        return state._replace(step=state.step + 1, ema=average, augment_p=p, signs=signs)

    def _update(self, state: TrainState, name: str, loss: Callable[[PyTree], Outcome]) -> tuple[TrainState, Figures]:
        """One update of a network; counts the figures and replaces the fields that `loss` gives beside its value."""
        (_, (figures, changes)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params[name])
        updates, opt_state = self.optimizers[name].update(gradients, state.opt_state[name])
        counted = {figure: state.totals[figure] + jnp.stack([value, jnp.ones(())]) for figure, value in figures.items()}
        state = state._replace(
            params=state.params | {name: optax.apply_updates(state.params[name], updates)},
            opt_state=state.opt_state | {name: opt_state},
            totals=state.totals | counted,
            **changes,
        )
        return state, figures

    def _keys(self, state: TrainState, phase: int, n: int) -> Key[Array, " n"]:
        """Keys of this step's phase of that number."""
        return jax.random.split(jax.random.fold_in(jax.random.fold_in(self.key, state.step), phase), n)

    def _networks(self, state: TrainState, **params: PyTree) -> tuple[Generator, Discriminator]:
        """Both networks, with these parameters instead of the state's."""
        params = state.params | params
        return tuple(
            nnx.merge(self.graphdefs[name], params[name], state.buffers[name])
            for name in ("generator", "discriminator")
        )

    def _with_mean_latent(self, state: TrainState, generator: Generator) -> dict[str, Any]:
        """The state's buffers with the mean latent of a generator that has mapped."""
        return {"buffers": state.buffers | {"generator": nnx.to_pure_dict(nnx.state(generator, Buffer))}}

    def _fake_images(self, generator: Generator, key: Key[Array, ""]) -> Images:
        latent_key, noise_key = jax.random.split(key)
        return self._synthesize(
            generator, noise_key, self._latents(generator, latent_key, self.config.train.batch_size)
        )

    def _latents(self, generator: Generator, key: Key[Array, ""], batch: int) -> Float[Array, "b l d"]:
        """Random latents, in a share of the batches mixed from two; the generator's mean latent follows them."""
        z_key, other_key, mix_key = jax.random.split(key, 3)
        shape, probability = (batch, generator.z_dim), self.config.loss.style_mixing
        ws = generator.mapping(self._normal(z_key, shape))
        generator.mapping.update_w_avg(ws)
        if probability == 0:
            return ws
        return mix_styles(mix_key, ws, generator.mapping(self._normal(other_key, shape)), probability)

    def _synthesize(self, generator: Generator, key: Key[Array, ""], ws: Float[Array, "b l d"]) -> Images:
        return generator.synthesis(ws, "random", key, self.config.train.dtype, self.config.train.remat)

    def _logits(
        self, discriminator: Discriminator, state: TrainState, key: Key[Array, ""], images: Images
    ) -> Float[Array, "b 1"]:
        """The logits of images as the discriminator gets to see them: augmented."""
        if self.config.augment.mode != "off":
            images = augment(key, images, state.augment_p, self.config.augment.pipeline)
        return discriminator(images, None, self.config.train.dtype, self.config.train.remat)

    def _normal(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Array:
        """Normal numbers, each made on the device that owns its place in the batch; the same ones for any devices."""
        return jax.lax.with_sharding_constraint(jax.random.normal(key, shape), parallel.spread(self.mesh, shape[0]))


def _scores(kind: str, logits: Float[Array, "b 1"]) -> Figures:
    return {f"Loss/scores/{kind}": jnp.mean(logits), f"Loss/signs/{kind}": jnp.mean(jnp.sign(logits))}
