"""From a config to a clip source: directions are found once, kept in the workdir, and read from there afterwards."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax import faces
from disentangle_jax.latents import directions as find
from disentangle_jax.latents.clips import ClipSource, Recipe, sample_faces
from disentangle_jax.latents.directions import Directions

SOURCES = ("scorer", "sefa", "pca")
_BATCH = 64


def build_clip_source(config: ConfigDict, generator: sg2.Generator, workdir: str | Path) -> ClipSource:
    """The clip source of `config.clips` along the directions of `config.directions`.

    The directions come from workdir/directions.safetensors if it is there; else they are found and written there.
    """
    path = Path(workdir) / "directions.safetensors"
    recipe = Recipe(**{**config.clips.to_dict(), "trajectories": tuple(config.clips.trajectories)})
    if not path.exists():
        discover(config, generator, recipe).save(path)
    return ClipSource.create(generator, Directions.load(path), recipe)


def discover(config: ConfigDict, generator: sg2.Generator, recipe: Recipe) -> Directions:
    """Find directions by `config.directions.source`: by a scorer's readings, SeFa or PCA, or in a file."""
    options, key = config.directions, jax.random.key(config.seed)
    if Path(options.source).is_file():
        return Directions.load(Path(options.source))
    if options.source not in SOURCES:
        raise ValueError(
            f"unknown directions.source {options.source!r}: neither a file nor one of {', '.join(SOURCES)}"
        )
    key = jax.random.fold_in(key, 1 << 30)  # apart from the clips' indices
    empty = jnp.zeros((0, generator.num_ws, generator.w_dim))
    nowhere = Directions(empty, empty, jnp.zeros(empty.shape[1:]), ())
    source = ClipSource.create(generator, nowhere, recipe._replace(style_mixing=options.style_mixing))
    ws = jax.jit(sample_faces, static_argnums=2)(source, key, options.num_samples)
    if options.source == "sefa":
        return find.sefa(generator, ws, tuple(options.layers), options.num)
    if options.source == "pca":
        plain = ClipSource.create(generator, nowhere, recipe._replace(style_mixing=0.0))
        w = jax.jit(sample_faces, static_argnums=2)(plain, key, options.num_samples)[:, 0]
        return find.pca(w, ws, tuple(options.layers), options.num)
    scores = _score(generator, faces.Judge.load(options.scorer), ws)
    return find.from_scores(ws, scores, faces.NAMES, faces.STRUCTURE, options.ridge)


def _score(generator: sg2.Generator, judge: faces.Judge, ws: Float[Array, "n l d"]) -> Float[Array, "n f"]:
    """Render the latents and read the pictures, a batch at a time."""
    (graph_g, state_g), (graph_j, state_j) = nnx.split(generator), nnx.split(judge)

    @jax.jit
    def read(state_g, state_j, batch):
        images = nnx.merge(graph_g, state_g).synthesis(batch, noise_mode="const")
        return nnx.merge(graph_j, state_j)(images).stack()

    starts = tqdm(range(0, len(ws), _BATCH), desc="reading samples", unit_scale=_BATCH, unit=" faces")
    return jnp.asarray(np.concatenate([read(state_g, state_j, ws[i : i + _BATCH]) for i in starts]))
