"""Teach a StyleGAN2 to draw parametric faces: `python -m disentangle_jax.faces.train_generator --out=DIR`.

The same command resumes.

Distillation instead of a game: the mapping network is a fixed random one, `Truth` says which factors a latent stands
for, the renderer draws them, and the synthesis network learns to draw the same. Every image is seen once. 32 px first,
then 64 px from those weights. While it learns, each layer is shown the truth's projections of w, and of those only the
ones that the layer owns, so that W+ means what the truth says; being linear, the projections are folded into the affine
layers at the end, which then take plain w.
"""

import json
import math
import os
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax import media
from disentangle_jax.faces.factors import NAMES
from disentangle_jax.faces.judge import Judge, read
from disentangle_jax.faces.renderer import render
from disentangle_jax.faces.truth import CUTS, Truth
from disentangle_jax.scores import r2
from stylegan2_flax import command, files

_FLAGS = flags.FlagValues()
_OUT = flags.DEFINE_string(
    "out", "runs/generator", "folder of the checkpoint, the generator, its truth and its card", flag_values=_FLAGS
)
_SEED = flags.DEFINE_integer("seed", 0, "seed of weights and faces", flag_values=_FLAGS)
_SCALE = flags.DEFINE_float(
    "scale", 1.0, "length of the training, relative to the recipe's", lower_bound=1e-4, flag_values=_FLAGS
)

_BATCH = 8
_EMA = 0.998
_SAVE_EVERY = 1000  # steps
_DIM = 64  # of z and w
_CHANNELS: dict[str, Any] = {"channel_base": 1024, "channel_max": 96}


class _Stage(NamedTuple):
    resolution: int
    steps: int
    rate: float


_STAGES = (_Stage(32, 6_000, 4e-3), _Stage(64, 18_000, 3e-3))


def latents(mapping, key: PRNGKeyArray, n: int, num_ws: int, crossover: float) -> Float[Array, "n l d"]:
    """ws of n random faces; a share of them takes the layers from one of the truth's cuts on from another face."""
    k_z, k_cut, k_share = jax.random.split(key, 3)
    w = mapping(jax.random.normal(k_z, (2 * n, _DIM)))[:, 0]
    cut = jax.random.choice(k_cut, jnp.array(CUTS), (n,))
    cut = jnp.where(jax.random.uniform(k_share, (n,)) < crossover, cut, num_ws)
    from_second = jnp.arange(num_ws)[None, :] >= cut[:, None]
    return jnp.where(from_second[..., None], w[n:, None, :], w[:n, None, :])


def _halve(images: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    n, h, w, c = images.shape
    return images.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _loss(drawn: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"]) -> Float[Array, ""]:
    """Squared error, more in the face's middle, that of both image gradients, a smoothed L1 of these, and half size.

    The gradient terms keep small features alive: a plain L1 leaves faces without eyes.
    """
    ticks = (jnp.arange(drawn.shape[1], dtype=jnp.float32) + 0.5) / drawn.shape[1] * 2.0 - 1.0
    weight = 1.0 + 2.0 * jnp.exp(-(ticks[:, None] ** 2 + ticks[None, :] ** 2) / 0.3)[None, :, :, None]
    error = drawn - target
    down, right = error[:, 1:] - error[:, :-1], error[:, :, 1:] - error[:, :, :-1]
    squares = jnp.mean(weight * error**2) + jnp.mean(weight[:, 1:] * down**2) + jnp.mean(weight[:, :, 1:] * right**2)
    soft = lambda e: jnp.mean(jnp.sqrt(e**2 + 1e-4))  # noqa: E731
    return 8.0 * squares + 0.15 * (soft(error) + soft(down) + soft(right)) + 4.0 * jnp.mean(_halve(error) ** 2)


def _make_step(
    mapping, graphdef, buffers, truth: Truth, stage: _Stage, optimizer: optax.GradientTransformation, seed: int
):
    """One jitted step: fresh latents, their renders, a descent, and the moving average of the weights."""

    @partial(jax.jit, donate_argnums=0)
    def step(state: dict) -> tuple[dict, Array]:
        key = jax.random.fold_in(jax.random.key(seed), state["step"] + 1_000_000 * stage.resolution)
        ws = latents(mapping, key, _BATCH, mapping.num_ws, crossover=0.0)
        target = render(truth(ws))
        target = target if stage.resolution == 64 else _halve(target)

        def loss_fn(params):
            synthesis = nnx.merge(graphdef, params, buffers)
            return _loss(synthesis(shown(truth, ws)[:, : synthesis.num_ws], noise_mode="none"), target)

        loss, gradients = jax.value_and_grad(loss_fn)(state["params"])
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            updates, opt_state = optimizer.update(gradients, state["opt_state"])
        params = optax.apply_updates(state["params"], updates)
        ema = optax.incremental_update(params, state["ema"], 1.0 - _EMA)
        return {"params": params, "ema": ema, "opt_state": opt_state, "step": state["step"] + 1}, loss

    return step


def shown(truth: Truth, ws: Float[Array, "n l d"]) -> Float[Array, "n l f"]:
    """What the layers are shown of ws while they learn."""
    return truth.project(ws) * (truth.owners > 0.0)[None].astype(jnp.float32)


def _fold(generator: sg2.Generator, trained: sg2.SynthesisNetwork, truth: Truth) -> None:
    """Put the trained weights into the generator; its affine layers take w: A (P (w - m)) + b = (A P) w + (b - A P m).

    P is the projection that the layer was shown; the equalised learning rate divides a weight by the root of its
    columns.
    """
    projection = (truth.owners > 0.0)[:, :, None].astype(jnp.float32) * (truth.p @ truth.whiten)[None]
    layer = _layer_of_affine(generator)
    source: dict[tuple, Any] = dict(nnx.iter_modules(trained))
    target: dict[tuple, Any] = dict(nnx.iter_modules(generator.synthesis))
    for path, module in target.items():
        if path and path[-1] == "affine":
            scaled = source[path].weight[...] / math.sqrt(trained.w_dim) @ projection[layer[path[:-1]]]
            module.weight[...] = scaled * math.sqrt(generator.w_dim)
            module.bias[...] = source[path].bias[...] - scaled @ truth.mean
        else:
            for name, value in vars(module).items():
                if isinstance(value, nnx.Param):
                    value[...] = getattr(source[path], name)[...]


def _layer_of_affine(generator: sg2.Generator) -> dict[tuple, int]:
    """Which w each modulated convolution takes: a block's in turn, and its ToRGB the one after them."""
    layers, row = {}, 0
    for resolution in generator.synthesis.resolutions:
        for name in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
            layers[f"b{resolution}", name] = row
            row += 1
        layers[f"b{resolution}", "torgb"] = row
    return layers


def _student(resolution: int, seed: int) -> sg2.SynthesisNetwork:
    """A synthesis network whose w are the truth's projections."""
    return sg2.SynthesisNetwork(len(NAMES), resolution, 3, **_CHANNELS, rngs=nnx.Rngs(seed))


def _train_stage(mapping, truth: Truth, stage: _Stage, start: dict, folder: Path, seed: int) -> dict:
    """Train one resolution, from the weights of the one before; returns the averaged weights as a pure dict."""
    graphdef, params, buffers = nnx.split(_student(stage.resolution, seed), nnx.Param, sg2.Buffer)
    if start:
        nnx.replace_by_pure_dict(params, nnx.to_pure_dict(params) | start)
    steps = max(1, round(stage.steps * _SCALE.value))
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, stage.rate, min(200, steps // 2), steps, end_value=stage.rate / 100
    )
    optimizer = optax.chain(optax.clip_by_global_norm(3.0), optax.adam(schedule, b1=0.9, b2=0.99))
    state = {
        "params": params,
        "ema": jax.tree.map(jnp.copy, params),
        "opt_state": optimizer.init(params),
        "step": jnp.int32(0),
    }
    checkpoint = folder / f"checkpoint_{stage.resolution}.npz"
    state = _restore(checkpoint, state) if checkpoint.exists() else state
    step = _make_step(mapping, graphdef, buffers, truth, stage, optimizer, seed)
    first = int(state["step"])
    progress = tqdm(range(first, steps), initial=first, total=steps, desc=f"{stage.resolution} px", mininterval=10)
    for i in progress:
        state, loss = step(state)
        if i % 100 == 99:
            progress.set_postfix(loss=f"{float(loss):.4f}")
        if i % _SAVE_EVERY == _SAVE_EVERY - 1 or i == steps - 1:
            _store(checkpoint, state)
    return nnx.to_pure_dict(state["ema"])


def _store(path: Path, state: dict) -> None:
    with files.atomic(path) as temporary:
        np.savez(temporary, *[np.asarray(leaf) for leaf in jax.tree.leaves(state)])


def _restore(path: Path, like: dict) -> dict:
    leaves, structure = jax.tree.flatten(like)
    try:
        with np.load(path) as file:
            stored = [jnp.asarray(file[f"arr_{i}"]) for i in range(len(leaves))]
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it to train this stage anew") from None
    return jax.tree.unflatten(structure, stored)


def main() -> None:
    out, seed = files.local_path(_OUT.value, "--out"), _SEED.value
    k_w, k_truth, k_test = jax.random.split(jax.random.key(seed), 3)
    generator = sg2.Generator(
        z_dim=_DIM,
        w_dim=_DIM,
        img_resolution=64,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs=_CHANNELS,
        rngs=nnx.Rngs(seed),
    )
    w = jax.jit(generator.mapping)(jax.random.normal(k_w, (1 << 16, generator.z_dim)))[:, 0]
    truth = Truth.create(k_truth, w, generator.num_ws)
    start, weights = time.time(), {}
    for stage in _STAGES:
        weights = _train_stage(generator.mapping, truth, stage, weights, out, seed)
    bundle(generator, truth, weights, k_test, out, minutes=(time.time() - start) / 60)


def bundle(generator: sg2.Generator, truth: Truth, weights: dict, key: PRNGKeyArray, out: Path, minutes: float) -> None:
    """Write the generator with its trained weights, its truth, its card, and a picture of samples beside the truth."""
    trained = _student(64, 0)
    graphdef, params, buffers = nnx.split(trained, nnx.Param, sg2.Buffer)
    nnx.replace_by_pure_dict(params, weights)
    _fold(generator, nnx.merge(graphdef, params, buffers), truth)
    generator.mapping.w_avg[...] = truth.mean
    sg2.save(generator, out / "faces64.safetensors", dtype="float16")
    truth.save(out / "faces64_truth.safetensors")
    generator = sg2.load(out / "faces64.safetensors")
    card = {
        "command": f"python -m disentangle_jax.faces.train_generator --seed={_SEED.value} --scale={_SCALE.value:g}",
        "hardware": f"{os.cpu_count()} cores" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind,
        "minutes": round(minutes, 1),
        "stages": [stage._asdict() for stage in _STAGES],
        "batch": _BATCH,
        **assess(generator, truth, key),
    }
    files.write_text(out / "faces64.json", json.dumps(card, indent=2) + "\n")
    ws = latents(generator.mapping, key, 24, generator.num_ws, crossover=0.0)
    pairs = jnp.stack([render(truth(ws)), generator.synthesis(ws)], axis=1)
    media.save_image(media.image_grid(pairs.reshape(4, 12, 64, 64, 3)), out / "faces64.png")
    print(json.dumps(card, indent=2))


def assess(generator: sg2.Generator, truth: Truth, key: PRNGKeyArray, n: int = 1024) -> dict:
    """Scores on n held-out faces: error against the exact render, what a judge reads, and how linear W is."""
    k_plain, k_mixed = jax.random.split(key)
    mapping, num_ws = generator.mapping, generator.num_ws
    ws = latents(mapping, k_plain, n, num_ws, crossover=0.0)
    images, target = _draw(generator, ws), render(truth(ws))
    mixed = latents(mapping, k_mixed, n, num_ws, crossover=1.0)
    readings, factors = read(Judge.load("judge_b"), images).stack(), truth(ws).stack()
    scores = r2(readings, factors)
    w = jnp.concatenate([ws[:, 0], jnp.ones((n, 1))], axis=1)
    linear = w @ jnp.linalg.lstsq(w[: n // 2], factors[: n // 2])[0]
    return {
        "psnr_held_out": round(_psnr(images, target), 2),
        "psnr_held_out_crossovers": round(_psnr(_draw(generator, mixed), render(truth(mixed))), 2),
        "r_squared_of_a_linear_readout_of_w": round(float(r2(linear[n // 2 :], factors[n // 2 :]).mean()), 3),
        "r_squared_read_by_judge_b": round(float(scores.mean()), 3),
        "r_squared_per_factor": {name: round(float(score), 3) for name, score in zip(NAMES, scores, strict=True)},
    }


def _draw(generator: sg2.Generator, ws: Float[Array, "n l d"]) -> Float[Array, "n h w 3"]:
    draw = jax.jit(lambda ws: generator.synthesis(ws))
    return jnp.concatenate([draw(batch) for batch in jnp.split(ws, max(1, len(ws) // 64))])


def _psnr(images: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"]) -> float:
    """Peak signal (2, for images in [-1, 1]) over the mean squared error of all of them, in dB."""
    return float(10.0 * jnp.log10(4.0 / jnp.mean((images - target) ** 2)))


if __name__ == "__main__":
    command.run(main, _FLAGS)
