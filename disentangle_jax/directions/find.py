"""Directions by `config.directions`: found by a scorer's readings, in weights or samples, or read from a file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax.clips.clip import ClipConfig, ClipSource, sample_faces
from disentangle_jax.directions import by_scorer as scored
from disentangle_jax.directions import ranking
from disentangle_jax.directions import unsupervised as axes
from disentangle_jax.directions.directions import Directions, digest
from disentangle_jax.directions.from_file import read_directions
from disentangle_jax.directions.stylespace import channel_candidates, stylespace
from disentangle_jax.scorers import Scorer, load_scorer, structure_names

SOURCES = ("scorer", "sefa", "pca", "stylespace", "random")
RANKINGS = ("none", "scorer", "pictures")
_PCA_BATCH = 4096
_CHUNK = 512  # faces between two moves of the progress bar


class Found(NamedTuple):
    """Directions, and how they and those that were left out rank, if they were chosen by rank."""

    directions: Directions
    ranking: ranking.Ranking | None

    def save(self, folder: str | Path) -> None:
        """Write folder/directions.safetensors and, beside it, ranking.json."""
        self.directions.save(Path(folder) / "directions.safetensors")
        if self.ranking is not None:
            self.ranking.save(Path(folder) / "ranking.json", self.directions.names)


def discover(config: ConfigDict, generator: sg2.Generator, recipe: ClipConfig) -> Directions:
    """The directions alone of what `find` finds."""
    return find(config, generator, recipe).directions


def find(config: ConfigDict, generator: sg2.Generator, recipe: ClipConfig) -> Found:
    """Find directions by `config.directions.source`, and keep the purest if `config.directions.rank` says by what.

    Raises:
        FileNotFoundError: there is no such scorer.
        ValueError: the config asks for the impossible, or the file of directions is of no use here.
    """
    options = config.directions
    is_file = Path(options.source).is_file()
    if options.source not in SOURCES and not is_file:
        raise ValueError(
            f"unknown directions.source {options.source!r}: neither a file nor one of {', '.join(SOURCES)}"
        )
    if options.rank not in RANKINGS:
        raise ValueError(f"unknown directions.rank {options.rank!r}: choose from {', '.join(RANKINGS)}")
    ws = search_faces(config, generator, recipe)
    if is_file:
        candidates = read_directions(options.source, generator, ws, tuple(options.layers))
    else:
        count = options.num if options.rank == "none" else options.candidates
        candidates = replace(_candidates(config, generator, recipe, ws, count), source=options.source)
    result = None
    if options.rank != "none":
        look = ranking.looker(generator, reader(options.rank, options.scorer))
        result = ranking.rank(candidates, ws[: options.rank_faces], look, options.rank, options.least_change)
        candidates = candidates.select(result.best(options.num))
    if options.source == "stylespace":  # the candidates are calibrated each for itself
        candidates = replace(stylespace(generator, ws, candidates.names), source=options.source)
    return Found(replace(candidates, generator=digest(generator)), result)


def reader(by: str, scorer: str) -> ranking.ReadImages:
    """What reads pictures for a ranking by the scorer of that name, or by the "pictures" alone."""
    return ranking.by_scorer(load_scorer(scorer)) if by == "scorer" else ranking.by_picture


def search_faces(config: ConfigDict, generator: sg2.Generator, recipe: ClipConfig) -> Float[Array, "n l d"]:
    """The faces that directions are sought among and calibrated to: `config.directions.num_samples`, style-mixed."""
    options = config.directions
    empty = jnp.zeros((0, generator.num_ws, generator.w_dim))
    nowhere = Directions(empty, empty, jnp.zeros(empty.shape[1:]), ())
    plain = recipe._replace(style_mixing=options.style_mixing, appearance=0.0)
    source = ClipSource.create(generator, nowhere, plain)
    return jax.jit(sample_faces, static_argnums=2)(source, _key(config), options.num_samples)


def _candidates(
    config: ConfigDict, generator: sg2.Generator, recipe: ClipConfig, ws: Float[Array, "n l d"], count: int
) -> Directions:
    options = config.directions
    layers = tuple(options.layers)
    match options.source:
        case "sefa":
            return axes.sefa(generator, ws, layers, count)
        case "pca":
            batches = _latents(generator, recipe.truncation_psi, _key(config), options.pca_samples)
            return axes.pca(batches, ws, layers, count)
        case "random":
            return axes.random(_key(config), ws, layers, count)
        case "stylespace":
            return channel_candidates(generator, ws, tuple(options.channels), layers, count)
    if options.method not in scored.METHODS:
        raise ValueError(f"unknown directions.method {options.method!r}: choose from {', '.join(scored.METHODS)}")
    scorer = load_scorer(options.scorer)
    scores, wanted = score(generator, scorer, ws), structure_names(scorer)
    if options.method == "conditional":
        return scored.from_scores(ws, scores, scorer.names, wanted, options.ridge)
    tail = options.tail if options.method == "logistic" else None
    return scored.hyperplanes(
        ws, scores, scorer.names, wanted, options.ridge, tail=tail, orthogonalise=options.orthogonalise
    )


def _latents(generator: sg2.Generator, psi: float, key: PRNGKeyArray, n: int) -> Iterator[Float[Array, "b d"]]:
    """n random w, in batches."""

    @jax.jit
    def sample(mapping, key):
        z = jax.random.normal(key, (_PCA_BATCH, generator.z_dim))
        return mapping(z, truncation_psi=psi)[:, 0]

    for start in tqdm(range(0, n, _PCA_BATCH), desc="sampling latents", unit_scale=_PCA_BATCH, unit=" w"):
        yield sample(generator.mapping, jax.random.fold_in(key, start))[: n - start]


def score(generator: sg2.Generator, scorer: Scorer, ws: Float[Array, "n l d"]) -> Float[Array, "n f"]:
    """Render the latents and read the pictures, a batch at a time."""
    look = ranking.looker(generator, scorer)
    starts = tqdm(range(0, len(ws), _CHUNK), desc="reading samples", unit_scale=_CHUNK, unit=" faces")
    return jnp.asarray(np.concatenate([look(ws[start : start + _CHUNK]) for start in starts]))


def _key(config: ConfigDict) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(config.seed), 1 << 30)  # apart from the clips' indices
