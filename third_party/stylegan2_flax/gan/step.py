"""The train step: the generator and its regularizer, the discriminator and its regularizer, as jitted functions.

Their order, the lazy regularization and the metrics are those of StyleGAN2-ADA (Karras et al. 2020, arXiv:2006.06676).
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
from stylegan2_flax.gan.state import TrainState, random_streams
from stylegan2_flax.generator import Generator
from stylegan2_flax.layers import Buffer
from stylegan2_flax.losses import discriminator_loss, generator_loss, mix_styles, path_length_penalty, r1_penalty
from stylegan2_flax.optimizer import ema_decay, lazy_adam
from stylegan2_flax.run import parallel

Images = Float[Array, "b h w c"]
Metrics = dict[str, Float[Array, ""]]
Outcome = tuple[Float[Array, ""], tuple[Metrics, dict[str, Any]]]
"""The loss, metrics to log, and fields of the state to replace."""
TrainStep = Callable[[TrainState, Images, int], tuple[TrainState, Metrics]]


def make_optimizers(config: ConfigDict) -> dict[str, optax.GradientTransformation]:
    """Adam for both networks, adjusted for the lazy regularizers that `config.loss` enables."""
    loss = config.loss
    options = config.optimizer
    intervals = {
        "generator": loss.path_length.interval if loss.path_length.weight > 0 else None,
        "discriminator": loss.r1.interval if loss.r1.gamma > 0 else None,
    }
    return {
        name: lazy_adam(options[name].learning_rate, options.b1, options.b2, interval=interval)
        for name, interval in intervals.items()
    }


def make_train_step(
    config: ConfigDict,
    graphdefs: dict[str, nnx.GraphDef],
    optimizers: dict[str, optax.GradientTransformation],
    mesh: Mesh,
) -> TrainStep:
    """The train step: (state, real images, step) -> (state, metrics). The state is donated.

    `step` equals `state.step`, but is known on the host without waiting for the devices.
    """
    phases = jit_phases(config, graphdefs, optimizers, mesh)
    path_length, r1 = config.loss.path_length, config.loss.r1
    discriminator_only = config.train.alone_kimg * 1000

    def train_step(state: TrainState, images: Images, step: int) -> tuple[TrainState, Metrics]:
        metrics: Metrics = {}
        due = []
        if step * config.train.batch_size >= discriminator_only:
            due.append(phases["generator_main"])
            if path_length.weight > 0 and step % path_length.interval == 0:
                due.append(phases["generator_path_length"])
        due.append(partial(phases["discriminator_main"], images=images))
        if r1.gamma > 0 and step % r1.interval == 0:
            due.append(partial(phases["discriminator_r1"], images=images))
        for phase in due:
            state, values = phase(state)
            metrics |= values
        return phases["finish"](state), metrics

    return train_step


def jit_phases(
    config: ConfigDict,
    graphdefs: dict[str, nnx.GraphDef],
    optimizers: dict[str, optax.GradientTransformation],
    mesh: Mesh,
) -> dict[str, jax.stages.Wrapped]:
    """The phases of a step by name, as jitted functions of the state and, for the discriminator's, real images.

    One program for each phase, not for each combination: the main phases then compile once instead of three times.
    """
    phases = _Phases(config, graphdefs, optimizers, mesh, random_streams(config.seed).steps)
    return {
        name: jax.jit(getattr(phases, name), donate_argnums=0, out_shardings=parallel.replicated(mesh))
        for name in ("generator_main", "generator_path_length", "discriminator_main", "discriminator_r1", "finish")
    }


def shares(config: ConfigDict) -> dict[str, float]:
    """The fraction of the steps in which each phase runs, but for those at the start that are of one network alone."""
    path_length, r1 = config.loss.path_length, config.loss.r1
    return {
        "generator_main": 1.0,
        "generator_path_length": 1.0 / path_length.interval if path_length.weight > 0 else 0.0,
        "discriminator_main": 1.0,
        "discriminator_r1": 1.0 / r1.interval if r1.gamma > 0 else 0.0,
        "finish": 1.0,
    }


@dataclass(frozen=True, eq=False)
class _Phases:
    """The phases of a step. Each updates one of the networks, and returns the new state and metrics."""

    config: ConfigDict
    graphdefs: dict[str, nnx.GraphDef]
    optimizers: dict[str, optax.GradientTransformation]
    mesh: Mesh
    key: Key[Array, ""]

    def generator_main(self, state: TrainState) -> tuple[TrainState, Metrics]:
        draw_key, augment_key = self._keys(state, 0, 2)

        def loss(params: PyTree) -> Outcome:
            generator, discriminator = self._networks(state, generator=params)
            fake = self._fake_images(generator, draw_key)
            logits = self._logits(discriminator, state, augment_key, fake)
            value = generator_loss(logits)
            return value, ({"Loss/G/loss": value} | _scores("fake", logits), self._with_mean_latent(state, generator))

        return self._update(state, "generator", loss)

    def generator_path_length(self, state: TrainState) -> tuple[TrainState, Metrics]:
        latent_key, noise_key, direction_key = self._keys(state, 1, 3)
        options = self.config.loss.path_length
        batch = max(1, self.config.train.batch_size // options.batch_shrink)

        def loss(params: PyTree) -> Outcome:
            generator, _ = self._networks(state, generator=params)
            ws = self._latents(generator, latent_key, batch)
            synthesize = partial(self._synthesize, generator, noise_key)
            direction = self._normal(direction_key, jax.eval_shape(synthesize, ws).shape)
            penalty, mean = path_length_penalty(synthesize, ws, direction, state.path_length, options.decay)
            value = options.weight * jnp.mean(penalty)
            metrics = {"Loss/G/reg": value, "Loss/pl_penalty": jnp.mean(penalty)}
            return value * options.interval, (metrics, self._with_mean_latent(state, generator) | {"path_length": mean})

        return self._update(state, "generator", loss)

    def discriminator_main(self, state: TrainState, images: Images) -> tuple[TrainState, Metrics]:
        draw_key, fake_key, real_key = self._keys(state, 2, 3)
        generator, _ = self._networks(state)
        fake = self._fake_images(generator, draw_key)
        state = state._replace(**self._with_mean_latent(state, generator))

        def loss(params: PyTree) -> Outcome:
            _, discriminator = self._networks(state, discriminator=params)
            fake_logits = self._logits(discriminator, state, fake_key, fake)
            real_logits = self._logits(discriminator, state, real_key, images)
            value = discriminator_loss(real_logits, fake_logits)
            metrics = {"Loss/D/loss": value} | _scores("fake", fake_logits) | _scores("real", real_logits)
            return value, (metrics, {"signs": state.signs + metrics["Loss/signs/real"]})

        return self._update(state, "discriminator", loss)

    def discriminator_r1(self, state: TrainState, images: Images) -> tuple[TrainState, Metrics]:
        (key,) = self._keys(state, 3, 1)
        options = self.config.loss.r1

        def loss(params: PyTree) -> Outcome:
            _, discriminator = self._networks(state, discriminator=params)
            penalty = jnp.mean(r1_penalty(partial(self._logits, discriminator, state, key), images))
            value = options.gamma / 2 * penalty
            return value * options.interval, ({"Loss/D/reg": value, "Loss/r1_penalty": penalty}, {})

        return self._update(state, "discriminator", loss)

    def finish(self, state: TrainState) -> TrainState:
        """Update the moving average of the generator and the augmentation probability, after all phases."""
        batch = self.config.train.batch_size
        ema, options = self.config.ema, self.config.augment
        seen = state.step.astype(jnp.float32) * batch
        decay = ema_decay(batch, ema.kimg, ema.rampup if ema.rampup > 0 else None, seen)
        average = optax.incremental_update(state.params["generator"], state.ema, 1.0 - decay)
        due = (state.step + 1) % options.interval == 0
        p = state.augment_p
        if options.mode == "ada":
            adapted = next_probability(
                p, state.signs / options.interval, batch, options.interval, options.target, options.kimg
            )
            p = jnp.where(due, adapted, p)
        signs = jnp.where(due, 0.0, state.signs)
        return state._replace(step=state.step + 1, ema=average, augment_p=p, signs=signs)

    def _update(self, state: TrainState, name: str, loss: Callable[[PyTree], Outcome]) -> tuple[TrainState, Metrics]:
        """Update one network, add its metrics to the totals, and replace the fields that `loss` returns."""
        (_, (metrics, changes)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params[name])
        updates, opt_state = self.optimizers[name].update(gradients, state.opt_state[name])
        totals = {metric: state.totals[metric] + jnp.stack([value, jnp.ones(())]) for metric, value in metrics.items()}
        state = state._replace(
            params=state.params | {name: optax.apply_updates(state.params[name], updates)},
            opt_state=state.opt_state | {name: opt_state},
            totals=state.totals | totals,
            **changes,
        )
        return state, metrics

    def _keys(self, state: TrainState, phase: int, n: int) -> Key[Array, " n"]:
        """Random keys for a phase of this step."""
        return jax.random.split(jax.random.fold_in(jax.random.fold_in(self.key, state.step), phase), n)

    def _networks(self, state: TrainState, **params: PyTree) -> tuple[Generator, Discriminator]:
        """Both networks, with `params` instead of the parameters of the state."""
        params = state.params | params
        return tuple(
            nnx.merge(self.graphdefs[name], params[name], state.buffers[name])
            for name in ("generator", "discriminator")
        )

    def _with_mean_latent(self, state: TrainState, generator: Generator) -> dict[str, Any]:
        """Buffers of the state with the mean latent of a generator after its mapping network was called."""
        return {"buffers": state.buffers | {"generator": nnx.to_pure_dict(nnx.state(generator, Buffer))}}

    def _fake_images(self, generator: Generator, key: Key[Array, ""]) -> Images:
        latent_key, noise_key = jax.random.split(key)
        return self._synthesize(
            generator, noise_key, self._latents(generator, latent_key, self.config.train.batch_size)
        )

    def _latents(self, generator: Generator, key: Key[Array, ""], batch: int) -> Float[Array, "b l d"]:
        """Random latents, with style mixing in a fraction of the batches. Updates the generator's mean latent."""
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
        """The logits of augmented images."""
        if self.config.augment.mode != "off":
            images = augment(key, images, state.augment_p, self.config.augment.pipeline)
        return discriminator(images, None, self.config.train.dtype, self.config.train.remat)

    def _normal(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Array:
        """Normal random numbers, sharded over the batch. They do not depend on the number of devices."""
        return jax.lax.with_sharding_constraint(jax.random.normal(key, shape), parallel.spread(self.mesh, shape[0]))


def _scores(kind: str, logits: Float[Array, "b 1"]) -> Metrics:
    return {f"Loss/scores/{kind}": jnp.mean(logits), f"Loss/signs/{kind}": jnp.mean(jnp.sign(logits))}
