"""Train a judge of faces: python -m disentangle_jax.faces.train_judge --config=judge_faces64:a --workdir=runs/judge_a

Run the same command again to resume. Any field of the config can be set: --config.train.num_steps=1000

Every image is a new render. Blur and noise are added, so that the judge can read the soft images of a generator. The
results are WORKDIR/NAME.safetensors and its card NAME.json, which has the R^2 of each factor.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from absl import flags
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from ml_collections import ConfigDict

from disentangle_jax import configs
from disentangle_jax.batching import in_batches
from disentangle_jax.configs import judge_faces64
from disentangle_jax.faces.factors import NAMES, sample, unstack
from disentangle_jax.faces.judge import Judge, read_factors
from disentangle_jax.faces.renderer import render
from disentangle_jax.metrics import r2
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag, config_rules, parallel
from stylegan2_flax.run.config_record import record_config
from stylegan2_flax.run.config_rules import Rule, at_least, between, file_name, positive
from stylegan2_flax.run.lock import locked
from stylegan2_flax.run.loop import SCHEDULE_FIELDS, Schedule, Trainer, train
from stylegan2_flax.run.optimizers import clipped_adamw
from stylegan2_flax.run.recorder import check_tensorboard

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs)
WORKDIR = config_flag.define_workdir(FLAGS)

RULES = config_rules.TRAIN | {
    "name": file_name(),
    "train.batch_size": at_least(1),
    "model.widths": Rule(lambda value: len(value) == 4 and all(width >= 1 for width in value), "four widths"),
    "model.hidden": at_least(1),
    "images.blur": between(0, 1),
    "images.noise": positive(or_zero=True),
    "optimizer.learning_rate": positive(),
    "optimizer.warmup_steps": at_least(0),
    "optimizer.weight_decay": positive(or_zero=True),
    "optimizer.clip_norm": positive(),
    "evaluation.seed": config_rules.seed(),
    "evaluation.num_faces": at_least(2),
}
MAY_CHANGE = (*SCHEDULE_FIELDS, "evaluation.")


class TrainState(NamedTuple):
    """Everything that changes in training."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: optax.OptState


def run(config: ConfigDict, workdir: Path) -> Judge:
    """Train a judge, or resume the run in the workdir, and write the judge and its card.

    Raises:
        ValueError: the config is invalid, or differs from the config of the run in the workdir.
        OSError: another process is training in the workdir.
    """
    config_rules.check(config, RULES, config_rules.warmup)
    config_rules.check_known(config, config_rules.names(judge_faces64.get_config()))
    mesh = parallel.make_mesh(config.train.batch_size)
    check_tensorboard(config.train.tensorboard)
    with locked(workdir):
        record_config(config, workdir, MAY_CHANGE)
        state = train(make_trainer(config, mesh), Schedule.of(config.train), workdir)
        judge = nnx.merge(_graphdef(config), state.params)
        judge.save(workdir / f"{config.name}.safetensors")
        card = make_card(Judge.load(workdir / f"{config.name}.safetensors"), config)
        files.write_text(workdir / f"{config.name}.json", json.dumps(card, indent=2) + "\n")
    return judge


def make_trainer(config: ConfigDict, mesh: Mesh) -> Trainer[TrainState]:
    """Create the trainer of a judge."""
    replicated = parallel.replicated(mesh)
    optimizer = clipped_adamw(config.optimizer, config.train.num_steps)
    step = make_step(config, optimizer, mesh)

    def init() -> TrainState:
        params = nnx.to_pure_dict(nnx.state(_create(config), nnx.Param))
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    return Trainer(
        init=jax.jit(init, out_shardings=replicated),
        sharding=replicated,
        advance=lambda state, number: step(state),
        advice="Try a lower optimizer.learning_rate, in a new workdir.",
    )


def make_step(
    config: ConfigDict, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[[TrainState], tuple[TrainState, dict[str, Array]]]:
    """The jitted train step on random faces: state -> (state, metrics). The state is donated."""
    graphdef, over_batch = _graphdef(config), parallel.over_batch(mesh)

    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        k_faces, k_soften = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), state.step))
        factors = sample(k_faces, config.train.batch_size).stack()
        factors = jax.lax.with_sharding_constraint(factors, over_batch)
        images = soften(k_soften, render(unstack(factors)), config.images.blur, config.images.noise)

        def loss_fn(params: PyTree) -> Float[Array, ""]:
            return jnp.mean((nnx.merge(graphdef, params)(images) - factors) ** 2)

        loss, gradients = jax.value_and_grad(loss_fn)(state.params)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state), {"loss": loss}

    return jax.jit(step, donate_argnums=0, out_shardings=parallel.replicated(mesh))


def soften(key: PRNGKeyArray, images: Float[Array, "n h w c"], blur: float, noise: float) -> Float[Array, "n h w c"]:
    """Add blur and noise of random strength to each image.

    Args:
        key: random key.
        images: images in [-1, 1].
        blur: largest weight of a 3 x 3 binomial blur.
        noise: largest standard deviation of Gaussian noise.
    """
    k_blur, k_strength, k_noise = jax.random.split(key, 3)
    n = len(images)
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]) / 4.0
    blurred = (rows[:, :, :-2] + 2.0 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4.0
    share = jax.random.uniform(k_blur, (n, 1, 1, 1), maxval=blur)
    strength = jax.random.uniform(k_strength, (n, 1, 1, 1), maxval=noise)
    return images + share * (blurred - images) + strength * jax.random.normal(k_noise, images.shape)


def make_card(judge: Judge, config: ConfigDict) -> dict:
    """The card of a judge: its config, and the R^2 of each factor on held-out faces with 2 x 2 samples per pixel."""
    n = config.evaluation.num_faces
    faces = sample(jax.random.key(config.evaluation.seed), n).stack()
    images = in_batches(lambda part: render(unstack(part), supersampling=2), 256, faces)
    scores = r2(read_factors(judge, jnp.asarray(images)).stack(), faces)
    return {
        "config": json.loads(config.to_json()),
        "hardware": parallel.hardware(),
        "images": config.train.num_steps * config.train.batch_size,
        f"r_squared_on_{n}_held_out_renders": {
            name: round(float(score), 4) for name, score in zip(NAMES, scores, strict=True)
        },
    }


def _create(config: ConfigDict) -> Judge:
    return Judge(tuple(config.model.widths), config.model.hidden, rngs=nnx.Rngs(config.seed))


def _graphdef(config: ConfigDict) -> nnx.GraphDef:
    return nnx.split(nnx.eval_shape(lambda: _create(config)))[0]


def main() -> None:
    workdir = files.local_path(WORKDIR.value, "--workdir")
    config = CONFIG.value
    run(config, workdir)
    print((workdir / f"{config.name}.json").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    command.run(main, FLAGS)
