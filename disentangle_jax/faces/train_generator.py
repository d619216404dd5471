"""Train the generator of parametric faces:

    python -m disentangle_jax.faces.train_generator --config=distill_faces64 --workdir=runs/generator

Run the same command again to resume. Any field of the config can be set: --config.train.batch_size=16

The generator is distilled from the renderer, not trained against a discriminator: the mapping network is random and
fixed, `Truth` maps latents to factors, and the synthesis network learns to reproduce the renders of these factors.
Every image is seen once. Stages of growing resolution, in WORKDIR/32px and WORKDIR/64px, start from the weights of the
stage before. The results are WORKDIR/faces64.safetensors, faces64_truth.safetensors and the card faces64.json.
"""

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from absl import flags
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax import configs, media
from disentangle_jax.batching import in_batches
from disentangle_jax.configs import distill_faces64
from disentangle_jax.faces import distillation
from disentangle_jax.faces.assessment import assess, draw, psnr
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import Truth
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag, config_rules, parallel
from stylegan2_flax.run.config_record import record_config
from stylegan2_flax.run.config_rules import at_least, between, each, flag, one_of, positive
from stylegan2_flax.run.lock import locked
from stylegan2_flax.run.loop import Action, Schedule, Trainer, train
from stylegan2_flax.run.recorder import check_tensorboard

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs)
WORKDIR = config_flag.define_workdir(FLAGS)

NAME, RESOLUTION = "faces64", 64
RULES = {
    "seed": config_rules.seed(),
    "stats_samples": at_least(1024),
    "curved.*": between(0, 1, without_high=True),
    "loss.*": positive(or_zero=True),
    "optimizer.warmup_steps": at_least(0),
    "optimizer.final_rate": between(0, 1),
    "optimizer.b1": between(0, 1, without_high=True),
    "optimizer.b2": between(0, 1, without_high=True),
    "optimizer.clip_norm": positive(),
    "optimizer.ema_decay": between(0, 1, without_high=True),
    "train.batch_size": at_least(1),
    "train.resolutions": each(one_of(8, 16, 32, 64)),
    "train.num_steps": each(at_least(1)),
    "train.learning_rates": each(positive()),
    "train.log_every": at_least(1),
    "train.evaluate_every": at_least(1),
    "train.checkpoint_every": at_least(1),
    "train.keep_checkpoints": at_least(1),
    "train.tensorboard": flag(),
    "evaluation.num_faces": at_least(2),
}
MAY_CHANGE = (
    "train.log_every",
    "train.evaluate_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.tensorboard",
    "evaluation.",
)


class Stage(NamedTuple):
    """A stage of training, at one resolution."""

    resolution: int
    num_steps: int
    learning_rate: float


def run(config: ConfigDict, workdir: Path) -> None:
    """Train the generator, or resume the run in the workdir, and write the generator, its truth and its card.

    Raises:
        ValueError: the config is invalid, or differs from the config of the run in the workdir.
        OSError: another process is training in the workdir.
    """
    config_rules.check(config, RULES, _stages_fit)
    config_rules.check_known(config, [*config_rules.names(distill_faces64.get_config()), "generator.*"])
    mesh = parallel.make_mesh(config.train.batch_size)
    check_tensorboard(config.train.tensorboard)
    k_w, k_truth, k_test = jax.random.split(jax.random.key(config.seed), 3)
    generator = sg2.Generator(**config.generator.to_dict(), img_resolution=RESOLUTION, rngs=nnx.Rngs(config.seed))
    w = jax.jit(generator.mapping)(jax.random.normal(k_w, (config.stats_samples, generator.z_dim)))[:, 0]
    truth = Truth.create(k_truth, w, generator.num_ws, config.curved.to_dict())
    sizes = config.train.resolutions, config.train.num_steps, config.train.learning_rates
    with locked(workdir):
        record_config(config, workdir, MAY_CHANGE)
        weights: PyTree = {}
        for stage in map(Stage, *sizes):
            trainer = make_trainer(config, stage, generator.mapping, truth, weights, k_test, mesh)
            weights = train(trainer, _schedule(config, stage), workdir / f"{stage.resolution}px").ema_params
        write_results(generator, truth, weights, config, k_test, workdir)


def make_trainer(
    config: ConfigDict,
    stage: Stage,
    mapping: sg2.MappingNetwork,
    truth: Truth,
    start: PyTree,
    key: PRNGKeyArray,
    mesh: Mesh,
) -> Trainer[distillation.TrainState]:
    """Create the trainer of a stage.

    Args:
        config: the experiment.
        stage: resolution, length and learning rate.
        mapping: the fixed mapping network.
        truth: maps latents to factors.
        start: initial weights of some layers; the others are random.
        key: random key of the held-out faces.
        mesh: the devices.
    """
    replicated = parallel.replicated(mesh)
    student = distillation.make_student(stage.resolution, config.generator.synthesis_kwargs, config.seed)
    graphdef, params, buffers = nnx.split(student, nnx.Param, sg2.Buffer)
    params = nnx.to_pure_dict(params) | start
    task = distillation.Task(graphdef, buffers, mapping, truth, stage.resolution)
    optimizer = _make_optimizer(config.optimizer, stage)
    step = distillation.make_step(task, optimizer, config, mesh)
    squared_error = jax.jit(task.squared_error)
    ws = distillation.sample_crossed_ws(mapping, key, config.evaluation.num_faces, crossover=0.0)

    def score(step: int, state: distillation.TrainState) -> dict[str, float]:
        errors = in_batches(partial(squared_error, state.ema_params), config.train.batch_size, ws)
        return {"psnr_held_out": psnr(jnp.mean(errors))}

    return Trainer(
        init=jax.jit(lambda: distillation.init_state(params, optimizer), out_shardings=replicated),
        sharding=replicated,
        advance=lambda state, number: step(state),
        actions=(Action(every=config.train.evaluate_every, run=score),),
        advice="Try lower train.learning_rates, in a new workdir.",
    )


def write_results(
    generator: sg2.Generator, truth: Truth, weights: PyTree, config: ConfigDict, key: PRNGKeyArray, folder: Path
) -> None:
    """Write the trained generator, its truth, its card, and a grid of samples next to exact renders."""
    trained = distillation.make_student(RESOLUTION, config.generator.synthesis_kwargs, config.seed)
    nnx.update(trained, nnx.State(jax.device_get(weights)))
    distillation.fold(generator, trained, truth)
    sg2.save(generator, folder / f"{NAME}.safetensors", dtype="float16")
    truth.save(folder / f"{NAME}_truth.safetensors")
    generator = sg2.load(folder / f"{NAME}.safetensors")
    card = {
        "config": json.loads(config.to_json()),
        "hardware": parallel.hardware(),
        **assess(generator, truth, key, config.evaluation.num_faces),
    }
    files.write_text(folder / f"{NAME}.json", json.dumps(card, indent=2) + "\n")
    ws = distillation.sample_crossed_ws(generator.mapping, key, 24, crossover=0.0)
    pairs = jnp.stack([render(truth(ws)), draw(generator, ws)], axis=1)
    media.save_image(media.image_grid(pairs.reshape(4, 12, *pairs.shape[2:])), folder / f"{NAME}.png")


def _make_optimizer(config: ConfigDict, stage: Stage) -> optax.GradientTransformation:
    rate, last = stage.learning_rate, stage.num_steps
    warmup = min(config.warmup_steps, last // 2)
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, last, end_value=rate * config.final_rate)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.adam(schedule, config.b1, config.b2))


def _schedule(config: ConfigDict, stage: Stage) -> Schedule:
    plan = config.train
    return Schedule(
        num_steps=stage.num_steps,
        log_every=plan.log_every,
        checkpoint_every=plan.checkpoint_every,
        keep_checkpoints=plan.keep_checkpoints,
        tensorboard=plan.tensorboard,
    )


def _stages_fit(config: ConfigDict) -> str | None:
    sizes = config.train.resolutions, config.train.num_steps, config.train.learning_rates
    if len(set(map(len, sizes))) != 1:
        return f"train.resolutions, num_steps and learning_rates must be of one length, got {sizes}"
    sides = tuple(sizes[0])
    if sides != tuple(sorted(set(sides))) or sides[-1:] != (RESOLUTION,):
        return f"train.resolutions must grow, and end with {RESOLUTION}, got {sides}"
    return None


def main() -> None:
    workdir = files.local_path(WORKDIR.value, "--workdir")
    run(CONFIG.value, workdir)
    print((workdir / f"{NAME}.json").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    command.run(main, FLAGS)
