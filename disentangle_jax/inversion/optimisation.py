"""Images to latents of W or W+ by optimisation, many at once.

Adam moves whitened coordinates (`LatentSpace`), so a learning rate is a share of a standard deviation whatever the
generator. The frames of a clip are offsets from one base, held together by penalties, so that the result does not
tremble; other images have latents of their own. `descent` has the loss.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches, render_batch
from disentangle_jax.inversion.descent import Batch, Hyperparameters, Networks, State, Variables, step
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.inversion.noise import Maps, noise_maps
from disentangle_jax.inversion.pictures import area_average
from disentangle_jax.latents import sample_ws
from disentangle_jax.metrics import psnr
from stylegan2_flax.checks import checked_array

Distance = Callable[[Float[Array, "n h w c"], Float[Array, "n h w c"]], Float[Array, "n"]]
"""How different images look from their targets, differentiably: a function, or a callable pytree such as a module."""

_CHUNK = 20  # steps between updates of the progress bar
_SMALL = 64  # pixels of a side at which samples are compared with images
_SEED = 0
_SPREAD = 4  # frames of a clip, at least, from which its base and noise are found, however few are drawn at once


class Inversion(NamedTuple):
    """Latents of images.

    Attributes:
        ws: the latents.
        images: what the generator makes of them.
        psnr: of these images, in dB.
        deviations: distance of each latent to the mean in standard deviations; see `LatentSpace.deviations`.
        noise: the noise maps that were found with the latents, for each image, or one for all frames of a clip; empty
            if none were moved. `noise.with_noise` puts them into a network; `images` are drawn without them.
    """

    ws: Float[np.ndarray, "*n l d"]
    images: Float[np.ndarray, "*n h w c"]
    psnr: Float[np.ndarray, "*n"]
    deviations: Float[np.ndarray, "*n"]
    noise: dict[str, Float[np.ndarray, "*_n _h _w"]]


class _Task(NamedTuple):
    """All images to invert, and where to start from."""

    images: Float[np.ndarray, "n h w c"]
    v: Float[Array, "n m d"]
    noise: Maps
    batch_size: int
    networks: Networks
    hyperparameters: Hyperparameters


def optimise(
    images: Float[Array | np.ndarray, "n h w c"],
    generator: sg2.Generator,
    settings: ConfigDict,
    start_ws: Float[Array | np.ndarray, "n l d"] | None = None,
    distance: Distance | None = None,
    *,
    clip: bool = False,
    before: Inversion | None = None,
    space: LatentSpace | None = None,
) -> Inversion:
    """Find latents whose images are these.

    Args:
        images: in [-1, 1], of the generator's size.
        generator: the generator.
        settings: explained in `configs/inversion.py`. Steps and rates are those of the section `refine` if there are
            latents to start from, else those of `optimise`.
        start_ws: latents to start from; if not given, the last of those before, or for each image the best of some
            samples and the mean.
        distance: what the loss has beside pixels.
        clip: whether the images are the frames of one clip.
        before: the inversion of frames that the clip goes on from, with their base and noise, near the last of them.
        space: of the generator's latents, if it is known already.

    Raises:
        ValueError: the images or the latents have another shape than the generator's, or there are none.
        FloatingPointError: the loss is not finite.
    """
    check_images(images, generator)
    space = space or LatentSpace.of(generator.mapping)
    sizes = (len(images), generator.num_ws, generator.w_dim)
    images = np.asarray(images, np.float32)
    networks = Networks(generator.synthesis, as_pytree(distance), space)
    size = min(len(images), settings.batch_size or render_batch(generator.img_resolution))

    def coordinates(ws: Float[Array | np.ndarray, "_n l d"]) -> Float[Array, "_n m d"]:
        v = space.whiten(jnp.asarray(ws, jnp.float32))
        return jnp.mean(v, axis=1, keepdims=True) if settings.space == "w" else v

    def task(images: Float[np.ndarray, "n h w c"], ws: Float[Array | np.ndarray, "n l d"], phase: ConfigDict) -> _Task:
        noise = noise_maps(generator.synthesis, 1) if settings.noise else {}
        return _Task(images, coordinates(ws), noise, size, networks, _hyperparameters(settings, phase))

    def scout(images: Float[np.ndarray, "n h w c"], ws: Float[np.ndarray, "n l d"]) -> Float[np.ndarray, "n"]:
        tried = jnp.broadcast_to(_one_by_one(task(images, ws, settings.scout))[0], ws.shape)
        return measured(space.unwhiten(tried), images, generator, space).psnr

    if start_ws is None and before is not None:
        start_ws = np.broadcast_to(before.ws[-1], sizes)  # another search would come out elsewhere: a jump
    if start_ws is None:
        nearest = nearest_samples(images, generator, space, settings.candidates, settings.starts, alike=clip)
        most = min(len(images), max(size, _SPREAD))
        phase, start_ws = settings.optimise, _best_start(images, nearest, scout, alike=clip, most=most)
    else:
        phase, start_ws = settings.refine, checked_array(start_ws, "start_ws", sizes)
    whole = task(images, start_ws, phase)
    if clip:
        v, noise = _as_clip(whole, None if before is None else coordinates(before.ws), before.noise if before else {})
    else:
        v, noise = _one_by_one(whole)
    return measured(space.unwhiten(jnp.broadcast_to(v, sizes)), images, generator, space, noise)


def measured(
    ws: Float[Array | np.ndarray, "n l d"],
    images: Float[Array | np.ndarray, "n h w c"],
    generator: sg2.Generator,
    space: LatentSpace,
    noise: dict[str, Float[np.ndarray, "_n _h _w"]] | None = None,
) -> Inversion:
    """Latents together with what the generator makes of them, and how near that is to the images."""
    drawn, scores = redraw(ws, images, generator)
    return Inversion(np.asarray(ws), drawn, scores, np.asarray(space.deviations(ws)), noise or {})


def redraw(
    ws: Float[Array | np.ndarray, "n l d"], images: Float[Array | np.ndarray, "n h w c"], generator: sg2.Generator
) -> tuple[Float[np.ndarray, "n h w c"], Float[np.ndarray, "n"]]:
    """What the generator makes of latents, and its PSNR to the images, in dB."""
    batch_size = min(len(images), render_batch(generator.img_resolution))
    arrays = np.asarray(ws), np.asarray(images, np.float32)
    return in_batches(lambda ws, targets: _draw(generator.synthesis, ws, targets), batch_size, *arrays)


def check_images(images: Float[Array | np.ndarray, "*_n _h _w _c"], generator: sg2.Generator) -> None:
    """Raise ValueError unless there are images, and of the generator's size."""
    size = generator.img_resolution
    if np.shape(images)[1:] != (size, size, generator.img_channels) or len(images) == 0:
        raise ValueError(
            f"images must be [n, {size}, {size}, {generator.img_channels}] for this generator, n at least 1; got shape "
            f"{np.shape(images)}"
        )


def nearest_samples(
    images: Float[np.ndarray, "n h w c"],
    generator: sg2.Generator,
    space: LatentSpace,
    count: int,
    keep: int,
    *,
    alike: bool,
) -> Float[np.ndarray, "k n l d"]:
    """Of the mean latent and `count` samples, the k that are drawn nearest to each image, or to all if `alike`."""
    ws = np.array(sample_ws(generator.mapping, jax.random.key(_SEED), count + 1, 1.0))
    ws[0] = space.mean
    batch_size = render_batch(generator.img_resolution)
    drawn = in_batches(lambda ws: _draw_small(generator.synthesis, ws), min(len(ws), batch_size), ws)
    wanted = in_batches(_small, min(len(images), batch_size), images)
    errors = np.sum(drawn**2, axis=1) - 2 * wanted @ drawn.T  # up to the squares of the images
    errors = np.broadcast_to(errors.mean(axis=0), errors.shape) if alike else errors
    return ws[np.argsort(errors, axis=1)[:, :keep].T]


def _best_start(
    images: Float[np.ndarray, "n h w c"],
    starts: Float[np.ndarray, "k n l d"],
    scout: Callable[[Float[np.ndarray, "m h w c"], Float[np.ndarray, "m l d"]], Float[np.ndarray, "m"]],
    *,
    alike: bool,
    most: int,
) -> Float[np.ndarray, "n l d"]:
    """Of k starts of each image, the one that a few steps lead nearest to it.

    The nearest start alone often leads into a valley without a way out. For a clip, where all frames start alike, at
    most `most` frames are tried.
    """
    k, n = starts.shape[:2]
    if k == 1:
        return starts[0]
    rows = np.linspace(0, n - 1, most).round().astype(int) if alike else np.arange(n)
    scores = np.stack([scout(images[rows], start[rows]) for start in starts])
    best = np.argmax(np.broadcast_to(scores.mean(axis=1, keepdims=True), (k, n)) if alike else scores, axis=0)
    return starts[best, np.arange(n)]


def _one_by_one(task: _Task) -> tuple[Float[Array, "n m d"], dict[str, np.ndarray]]:
    """Invert images that have nothing to do with each other. Returns coordinates and noise maps."""
    size, n, found = task.batch_size, len(task.images), []
    own = {name: jnp.repeat(maps, size, axis=0) for name, maps in task.noise.items()}
    with _bar(task, -(-n // size)) as bar:
        for start in range(0, n, size):
            rows = np.arange(start, start + size)
            variables = Variables(jnp.zeros_like(task.v[:1]), task.v[rows.clip(max=n - 1)], own)
            variables = _run(variables, _batch(task, rows, moves_noise=1.0), task, bar)
            found.append(jax.device_get((variables.v, variables.noise)))
    v, noise = jax.tree.map(lambda *parts: np.concatenate(parts)[:n], *found)
    return jnp.asarray(v), noise


def _as_clip(
    task: _Task, earlier: Float[Array, "_n m d"] | None, its_noise: Mapping[str, np.ndarray]
) -> tuple[Float[Array, "n m d"], dict[str, np.ndarray]]:
    """Invert the frames of a clip, which may go on from earlier ones, with their base and noise.

    A clip of one batch has its base and its noise found with the frames; a longer one before them, on frames that are
    spread over the clip.
    """
    size, n, found = task.batch_size, len(task.images), []
    base, noise, before, moves = jnp.mean(task.v, axis=0, keepdims=True), task.noise, None, 1.0
    if earlier is not None:
        base, before, moves = jnp.mean(earlier, axis=0, keepdims=True), earlier[-1:], 0.0
        noise = {name: jnp.asarray(its_noise[name]) for name in noise} if its_noise else noise
    is_spread = n > size and earlier is None
    with _bar(task, -(-n // size) + is_spread) as bar:
        if is_spread:
            rows = np.linspace(0, n - 1, min(n, max(size, _SPREAD))).round().astype(int)
            batch = _batch(task, rows, bound=1.0, moves_base=1.0, moves_noise=1.0)
            base, _, noise = _run(_around(base, task.v[rows], noise), batch, task, bar)
            moves = 0.0
        for start in range(0, n, size):
            rows = np.arange(start, start + size)
            batch = _batch(task, rows, bound=1.0, linked=True, before=before, moves_base=moves, moves_noise=moves)
            variables = _run(_around(base, task.v[rows.clip(max=n - 1)], noise), batch, task, bar)
            before, noise = variables.v[-1:], variables.noise
            found.append(np.asarray(variables.v))
    return jnp.asarray(np.concatenate(found)[:n]), jax.device_get(noise)


def _around(base: Float[Array, "1 m d"], v: Float[Array, "n m d"], noise: Maps) -> Variables:
    return Variables(base, v - jnp.broadcast_to(base, v.shape), noise)


def _batch(
    task: _Task,
    rows: np.ndarray,
    *,
    bound: float = 0.0,
    linked: bool = False,
    before: Float[Array, "1 m d"] | None = None,
    moves_base: float = 0.0,
    moves_noise: float = 0.0,
) -> Batch:
    """The images of these rows; rows beyond the end are copies of the last one."""
    links = np.full(len(rows), linked, np.float32)
    links[0] = linked and before is not None
    return Batch(
        jnp.asarray(task.images[rows.clip(max=len(task.images) - 1)]),
        jnp.asarray(rows < len(task.images), jnp.float32),
        jnp.zeros_like(task.v[:1]) if before is None else before,
        jnp.asarray(links),
        *map(jnp.float32, (bound, moves_base, moves_noise)),
    )


def _run(variables: Variables, batch: Batch, task: _Task, bar: tqdm) -> Variables:
    """Make all steps of a batch."""
    state, steps = State.start(variables), int(task.hyperparameters.steps)
    errors = jnp.zeros(len(variables.offsets))
    for step_index in range(steps):
        state, errors = step(state, batch, task.networks, task.hyperparameters, jnp.int32(step_index))
        if (step_index + 1) % _CHUNK == 0 or step_index + 1 == steps:
            _report(errors[batch.present > 0.0], step_index + 1, bar)
    return state.variables


def _report(errors: Float[Array, "n"], done: int, bar: tqdm) -> None:
    """Show progress. Raises FloatingPointError if an error is not finite."""
    values = np.asarray(errors)
    if not np.isfinite(values).all():
        raise FloatingPointError(f"the loss is not finite after {done} steps: lower the learning rate")
    bar.set_postfix_str(f"PSNR {np.mean(10 * np.log10(4 / np.maximum(values, 1e-12))):.1f} dB", refresh=False)
    bar.update((done - 1) % _CHUNK + 1)


def _bar(task: _Task, batches: int) -> tqdm:
    return tqdm(
        total=int(task.hyperparameters.steps) * batches, desc="inverting", unit=" steps", leave=False, disable=None
    )


def _hyperparameters(settings: ConfigDict, phase: ConfigDict) -> Hyperparameters:
    values = {**settings.weights, **settings.schedule, **phase, "max_deviation": settings.max_deviation}
    return Hyperparameters(**{name: jnp.float32(value) for name, value in values.items()})


def as_pytree(distance: Distance | None) -> Any:
    """A distance that jitted functions take as an argument: plain functions are wrapped."""
    return jax.tree_util.Partial(distance) if jax.tree_util.all_leaves([distance]) else distance


@jax.jit
def _draw_small(synthesis: sg2.SynthesisNetwork, ws: Float[Array, "n l d"]) -> Float[Array, "n p"]:
    return _small(synthesis(ws))


@jax.jit
def _small(images: Float[Array, "n h w c"]) -> Float[Array, "n p"]:
    """The pixels of images, averaged down to bound the memory that many take."""
    side = min(images.shape[1], _SMALL)
    return area_average(images, (side, side)).reshape(len(images), -1)


@jax.jit
def _draw(
    synthesis: sg2.SynthesisNetwork, ws: Float[Array, "n l d"], targets: Float[Array, "n h w c"]
) -> tuple[Float[Array, "n h w c"], Float[Array, "n"]]:
    drawn = synthesis(ws)
    return drawn, psnr(drawn, targets)
