"""Train a judge of faces: `python -m disentangle_jax.faces.train_judge --name=judge_a --seed=1 --out=DIR`.

Every image is a fresh render. Blur and noise are added, so that a generator's softness does not mislead the reading.
"""

import json
import os
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from absl import flags
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

from disentangle_jax.faces import factors as fac
from disentangle_jax.faces.judge import Judge, read
from disentangle_jax.faces.renderer import render
from disentangle_jax.scores import r2
from stylegan2_flax import command, files

_FLAGS = flags.FlagValues()
_NAME = flags.DEFINE_string(
    "name", "judge_a", "name of the files written: NAME.safetensors and its card NAME.json", flag_values=_FLAGS
)
_OUT = flags.DEFINE_string("out", "runs/judges", "folder for them", flag_values=_FLAGS)
_SEED = flags.DEFINE_integer("seed", 1, "seed of weights and faces", flag_values=_FLAGS)
_WIDTHS = flags.DEFINE_multi_integer(
    "width", [32, 64, 96, 128], "channels of the four convolutions", lower_bound=1, flag_values=_FLAGS
)
_STEPS = flags.DEFINE_integer("steps", 6000, "batches of 64 fresh faces", lower_bound=1, flag_values=_FLAGS)

_BATCH = 64
_HELD_OUT = 4096


def _soften(key: PRNGKeyArray, images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """A random share of a 3 x 3 binomial blur, and Gaussian noise of random strength, for each image."""
    k_blur, k_strength, k_noise = jax.random.split(key, 3)
    n = len(images)
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]) / 4.0
    blurred = (rows[:, :, :-2] + 2.0 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4.0
    share = jax.random.uniform(k_blur, (n, 1, 1, 1))
    strength = jax.random.uniform(k_strength, (n, 1, 1, 1), maxval=0.06)
    return images + share * (blurred - images) + strength * jax.random.normal(k_noise, images.shape)


def _make_step(graphdef: nnx.GraphDef, optimizer: optax.GradientTransformation):
    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, opt_state, key):
        k_faces, k_soften = jax.random.split(key)
        faces = fac.sample(k_faces, _BATCH)
        images = _soften(k_soften, render(faces))

        def loss_fn(params):
            return jnp.mean((nnx.merge(graphdef, params)(images) - faces.stack()) ** 2)

        loss, gradients = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    return step


def evaluate(judge: Judge, seed: int) -> dict[str, float]:
    """R^2 of each factor on held-out faces, rendered sharply with 2 x 2 samples a pixel."""
    faces = fac.sample(jax.random.key(seed), _HELD_OUT)
    images = jnp.concatenate(
        [render(fac.unstack(part), supersampling=2) for part in jnp.split(faces.stack(), _HELD_OUT // 256)]
    )
    scores = r2(read(judge, images).stack(), faces.stack())
    return {name: round(float(score), 4) for name, score in zip(fac.NAMES, scores, strict=True)}


def main() -> None:
    out = Path(_OUT.value)
    graphdef, params = nnx.split(Judge(tuple(_WIDTHS.value), 160, rngs=nnx.Rngs(_SEED.value)))
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.5e-3, 200, _STEPS.value, end_value=0.0)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-3))
    opt_state = optimizer.init(params)
    step, key, start = _make_step(graphdef, optimizer), jax.random.key(_SEED.value), time.time()
    progress = tqdm(range(_STEPS.value), desc=_NAME.value, mininterval=5)
    for i in progress:
        params, opt_state, loss = step(params, opt_state, jax.random.fold_in(key, i))
        if i % 100 == 99:
            progress.set_postfix(loss=f"{float(loss):.4f}")
    judge = nnx.merge(graphdef, params)
    judge.save(out / f"{_NAME.value}.safetensors")
    card = {
        "command": f"python -m disentangle_jax.faces.train_judge --name={_NAME.value} --seed={_SEED.value} "
        + " ".join(f"--width={width}" for width in _WIDTHS.value)
        + f" --steps={_STEPS.value}",
        "hardware": f"{os.cpu_count()} cores" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind,
        "minutes": round((time.time() - start) / 60, 1),
        "images": _STEPS.value * _BATCH,
        "r_squared_on_4096_held_out_renders": evaluate(
            Judge.load(out / f"{_NAME.value}.safetensors"), 10_000 + _SEED.value
        ),
    }
    files.write_text(out / f"{_NAME.value}.json", json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    command.run(main, _FLAGS)
