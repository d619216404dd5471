"""Training of a feed-forward encoder on its generator's own samples, in a workdir."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.configs import encoder_faces64
from disentangle_jax.domains import Domain, load_domain
from disentangle_jax.generators import absolute, digest, load_generator
from disentangle_jax.inversion.degradations import degrade
from disentangle_jax.inversion.distances import absolute_distance, load_distance
from disentangle_jax.inversion.encoder_card import Assessment
from disentangle_jax.inversion.encoder_network import EncoderNetwork, create
from disentangle_jax.inversion.encoder_objective import Frozen, loss_terms
from disentangle_jax.inversion.encoder_samples import draw_samples
from disentangle_jax.scorers import absolute_scorer
from stylegan2_flax import files
from stylegan2_flax.run import config_rules, parallel
from stylegan2_flax.run.config_record import record_config
from stylegan2_flax.run.config_rules import Rule, at_least, between, each, file_name, positive
from stylegan2_flax.run.lock import locked
from stylegan2_flax.run.loop import SCHEDULE_FIELDS, Action, Schedule, Trainer, train
from stylegan2_flax.run.optimizers import clipped_adamw
from stylegan2_flax.run.recorder import check_tensorboard
from stylegan2_flax.run.train_state import TrainState, graphdef, init_state, update_ema

_SHARE, _SIZE, _COUNT = between(0, 1), positive(or_zero=True), at_least(1)

RULES = config_rules.TRAIN | {
    "name": file_name(),
    "generator": Rule(lambda value: isinstance(value, str) and value != "", "a generator's name, path or URL"),
    "model.size": at_least(8),
    "model.widths": each(_COUNT),
    "model.num_units": each(at_least(0)),
    "model.hidden": _COUNT,
    "samples.style_mixing": _SHARE,
    "samples.psi": each(_SIZE),
    "samples.exact": _SHARE,
    "degrade.share": _SHARE,
    "degrade.shift": _SHARE,
    "degrade.zoom": between(0, 1, without_high=True),
    "degrade.blur": _SIZE,
    "degrade.colour": _SHARE,
    "degrade.compression": _SIZE,
    "degrade.noise": _SIZE,
    "loss.weights.latents": _SIZE,
    "loss.weights.styles": _SIZE,
    "loss.weights.pixels": _SIZE,
    "loss.weights.distance": _SIZE,
    "loss.draw_every": _COUNT,
    "loss.scales": _COUNT,
    "loss.distance": Rule(lambda value: isinstance(value, str) and value != "", "a distance's name, or none"),
    "optimizer.learning_rate": positive(),
    "optimizer.warmup_steps": at_least(0),
    "optimizer.weight_decay": _SIZE,
    "optimizer.clip_norm": positive(),
    "optimizer.ema_decay": between(0, 1, without_high=True),
    "train.batch_size": _COUNT,
    "evaluation.every": _COUNT,
    "evaluation.seed": config_rules.seed(),
    "evaluation.num_images": at_least(2),
    "evaluation.judge": Rule(lambda value: isinstance(value, str), "a scorer's name, or empty"),
}
MAY_CHANGE = ("generator", *SCHEDULE_FIELDS, "evaluation.")


def run(config: ConfigDict, workdir: Path) -> EncoderNetwork:
    """Train an encoder, or resume the run in the workdir, and write the encoder and its card.

    Raises:
        ValueError: the config is invalid, or differs from the config of the run in the workdir.
        FileNotFoundError: the generator, or a file of the distance or the judge, does not exist.
        OSError: another process is training in the workdir.
    """
    config_rules.check(config, RULES, config_rules.warmup, _fits)
    config_rules.check_known(config, [*config_rules.names(encoder_faces64.get_config()), "generator_digest"])
    mesh = parallel.make_mesh(config.train.batch_size)
    check_tensorboard(config.train.tensorboard)
    generator = load_generator(config.generator)
    domain = load_domain(config.generator)
    if config.samples.exact > 0 and domain is None:
        raise ValueError(
            f"samples.exact is for a generator whose domain is known, {config.generator} has none: set it to 0"
        )
    distance = load_distance(config.loss.distance)
    assessment = Assessment.of(config, generator, domain)
    config = _as_recorded(config, generator)
    with locked(workdir):
        record_config(config, workdir, MAY_CHANGE)
        trainer = make_trainer(config, Frozen.of(generator, distance), domain, assessment, mesh)
        state = train(trainer, Schedule.of(config.train), workdir)
        path = workdir / f"{config.name}.safetensors"
        trained = graphdef(partial(create, sizes_of(config, generator), config.seed))
        nnx.merge(trained, state.ema_params, state.buffers).save(path)
        encoder = EncoderNetwork.load(path)
        card = {
            "config": json.loads(config.to_json()),
            "hardware": parallel.hardware(),
            "images": config.train.num_steps * config.train.batch_size,
            **assessment.card(encoder, generator),
        }
        files.write_text(workdir / f"{config.name}.json", json.dumps(card, indent=2) + "\n")
    return encoder


def make_trainer(
    config: ConfigDict, frozen: Frozen, domain: Domain | None, assessment: Assessment, mesh: Mesh
) -> Trainer[TrainState]:
    """Create the trainer of an encoder."""
    replicated = parallel.replicated(mesh)
    optimizer = clipped_adamw(config.optimizer, config.train.num_steps)
    space, sizes = frozen.space, sizes_of(config, frozen.generator)
    start = partial(create, sizes, config.seed, space.mean, space.axes)
    encoder_graphdef = graphdef(start)
    step = make_step(config, encoder_graphdef, optimizer, domain, mesh)
    on_devices = jax.device_put(frozen, replicated)

    def score(step: int, state: TrainState) -> dict[str, float]:
        return assessment.brief(nnx.merge(encoder_graphdef, state.ema_params, state.buffers), frozen.generator)

    return Trainer(
        init=jax.jit(partial(init_state, start, optimizer), out_shardings=replicated),
        sharding=replicated,
        advance=lambda state, number: step(state, on_devices),
        actions=(Action(every=config.evaluation.every, run=score),),
        advice="Try a lower optimizer.learning_rate, in a new workdir.",
    )


def make_step(
    config: ConfigDict,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    domain: Domain | None,
    mesh: Mesh,
) -> Callable[[TrainState, Frozen], tuple[TrainState, dict[str, Array]]]:
    """The jitted train step on random samples: (state, frozen networks) -> (state, metrics). The state is donated."""
    over_batch = parallel.over_batch(mesh)

    def step(state: TrainState, frozen: Frozen) -> tuple[TrainState, dict[str, Array]]:
        k_samples, k_degrade = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), state.step))
        samples = draw_samples(frozen.generator, domain, k_samples, config.train.batch_size, config.samples, over_batch)
        resized = nnx.merge(graphdef, state.params, state.buffers).resize(samples.images)
        seen = degrade(k_degrade, resized, config.degrade)

        def loss_fn(params: PyTree) -> tuple[Float[Array, ""], dict[str, Array]]:
            encoder = nnx.merge(graphdef, params, state.buffers)
            terms = loss_terms(encoder, frozen, samples, seen, config.loss)
            return sum((config.loss.weights[name] * term for name, term in terms.items()), jnp.zeros(())), terms

        (loss, terms), gradients = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema_params = update_ema(state.ema_params, params, state.step, config.optimizer.ema_decay)
        return TrainState(state.step + 1, params, ema_params, state.buffers, opt_state), {"loss": loss, **terms}

    return jax.jit(step, donate_argnums=0, out_shardings=parallel.replicated(mesh))


def sizes_of(config: ConfigDict, generator: sg2.Generator) -> dict[str, Any]:
    """The sizes of the encoder of a generator."""
    return {
        "num_ws": generator.num_ws,
        "w_dim": generator.w_dim,
        "image_channels": generator.img_channels,
        "size": config.model.size,
        "widths": tuple(config.model.widths),
        "num_units": tuple(config.model.num_units),
        "hidden": config.model.hidden,
        "generator": digest(generator),
    }


def _as_recorded(config: ConfigDict, generator: sg2.Generator) -> ConfigDict:
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.generator, config.generator_digest = absolute(config.generator), digest(generator)
        config.loss.distance = absolute_distance(config.loss.distance)
        config.evaluation.judge = absolute_scorer(config.evaluation.judge)
    return config


def _fits(config: ConfigDict) -> str | None:
    model, psi = config.model, config.samples.psi
    if not len(model.widths) == len(model.num_units) >= 1:
        return f"model.widths and model.num_units must be of one length, got {model.widths} and {model.num_units}"
    if len(psi) != 2 or psi[0] > psi[1]:
        return f"samples.psi must be (smallest, largest), got {psi}"
    if config.train.batch_size % config.loss.draw_every:
        return f"loss.draw_every ({config.loss.draw_every}) must divide train.batch_size ({config.train.batch_size})"
    if config.model.size >> (config.loss.scales - 1) < 1:
        return f"loss.scales ({config.loss.scales}) halves the {config.model.size} px of model.size to nothing"
    if config.loss.distance == config.evaluation.judge:
        return f"evaluation.judge must not be loss.distance, got {config.evaluation.judge} for both"
    return None
