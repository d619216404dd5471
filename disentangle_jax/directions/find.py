"""Finding directions by `config.directions`: by a scorer's readings, in weights, samples or videos, or from a file."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax.directions import by_scorer, ranking, unsupervised
from disentangle_jax.directions.directions import Directions, checked_layers
from disentangle_jax.directions.from_file import read_directions
from disentangle_jax.directions.from_videos import find_videos, from_videos, read_videos
from disentangle_jax.directions.stylespace import channel_candidates, stylespace
from disentangle_jax.generators import digest
from disentangle_jax.latents import sample_mixed_ws, sample_w_batches
from disentangle_jax.scorers import Scorer, load_scorer, structure_names
from stylegan2_flax.files import AnyPath, as_path

SOURCES = ("scorer", "videos", "sefa", "pca", "stylespace", "random")
FOUND_ANYWHERE = tuple(source for source in SOURCES if source != "videos")  # without files
RANKINGS = ("none", "scorer", "pictures")
_CHUNK = 512  # faces between two updates of the progress bar
_LEAST_SPREAD = 1e-5  # of readings relative to their size: less is rounding


class Found(NamedTuple):
    """Directions, and the ranking of all candidates if they were chosen by rank."""

    directions: Directions
    ranking: ranking.Ranking | None

    def save(self, folder: str | AnyPath) -> None:
        """Write directions.safetensors into the folder, and ranking.json if there is a ranking."""
        self.directions.save(as_path(folder) / "directions.safetensors")
        if self.ranking is not None:
            self.ranking.save(as_path(folder) / "ranking.json", self.directions.names)


def check(config: ConfigDict, generator: sg2.Generator, found: bool = False) -> None:
    """Check `config.directions` before any work.

    Args:
        config: the experiment.
        generator: the generator whose latents the directions move.
        found: whether they were found before. What they came from may then be gone.

    Raises:
        FileNotFoundError: the scorer's file, or the folder of videos, does not exist.
        ValueError: a field is invalid, or the scorer is unknown; the message names the field.
    """
    options = config.directions
    if options.source not in SOURCES and not found and not as_path(options.source).is_file():
        raise ValueError(
            f"unknown directions.source {options.source!r}: neither a file nor one of {', '.join(SOURCES)}"
        )
    if options.rank not in RANKINGS:
        raise ValueError(f"unknown directions.rank {options.rank!r}: choose from {', '.join(RANKINGS)}")
    if options.source == "scorer" and options.method not in by_scorer.METHODS:
        raise ValueError(f"unknown directions.method {options.method!r}: choose from {', '.join(by_scorer.METHODS)}")
    if "scorer" in (options.source, options.rank):
        load_scorer(options.scorer)
    if options.source == "videos":
        if options.rank != "none":
            raise ValueError(
                f"directions.rank={options.rank!r} would choose among directions that leave each other out: those of "
                "videos move most in the first place, so set directions.rank='none'"
            )
        if not found:
            find_videos(options.videos)
    if options.source not in ("scorer", "videos"):  # which say themselves what layers they move
        checked_layers(tuple(options.layers), generator.num_ws)


def find_directions(config: ConfigDict, generator: sg2.Generator, ws: Float[Array, "n l d"]) -> Found:
    """Find directions by `config.directions.source`. Unless `config.directions.rank` is "none", keep the purest.

    Args:
        config: the experiment.
        generator: the generator whose latents they move.
        ws: latents from `sample_population`, which directions are found in and calibrated to.

    Raises:
        FileNotFoundError: the scorer's file, or the folder of videos, does not exist.
        ValueError: the config is invalid, or the file of directions, or one of latents, does not fit.
    """
    check(config, generator)
    options = config.directions
    if options.source in SOURCES:
        count = options.num if options.rank == "none" else options.candidates
        candidates = replace(_candidates(config, generator, ws, count), source=options.source)
    else:
        candidates = read_directions(options.source, generator, ws, tuple(options.layers))
    result = None
    if options.rank != "none":
        look = ranking.looker(generator, image_reader(options.rank, options.scorer))
        result = ranking.rank(candidates, ws[: options.rank_faces], look, options.rank, options.least_change)
        candidates = candidates.select(result.best(options.num))
    if options.source == "stylespace":  # its candidates were calibrated one at a time
        candidates = replace(stylespace(generator, ws, candidates.names), source=options.source)
    return Found(replace(candidates, generator=digest(generator)), result)


def count(config: ConfigDict, generator: sg2.Generator) -> int:
    """How many directions `find_directions` will find. Only a file of directions is read for it.

    Raises:
        FileNotFoundError, ValueError: see `find_directions`.
    """
    options = config.directions
    if options.source == "scorer":
        available = len(structure_names(load_scorer(options.scorer)))
    elif options.source == "stylespace" and options.channels:
        available = len(options.channels)
    elif options.source in SOURCES:
        available = options.num if options.rank == "none" else options.candidates
    else:
        ws = sample_population(config, generator)
        available = len(read_directions(options.source, generator, ws, tuple(options.layers)).names)
    return available if options.rank == "none" else min(options.num, available)


def image_reader(by: str, scorer: str) -> ranking.ReadImages:
    """The reader of images for a ranking: the scorer of this name, or `ranking.by_picture`."""
    return ranking.by_scorer(load_scorer(scorer)) if by == "scorer" else ranking.by_picture


def sample_population(config: ConfigDict, generator: sg2.Generator) -> Float[Array, "n l d"]:
    """The latents that directions are found in: `config.directions.num_samples` style-mixed ones."""
    clips, options = config.clips, config.directions
    sample = jax.jit(
        lambda mapping, key: sample_mixed_ws(
            mapping, key, options.num_samples, clips.truncation_psi, options.style_mixing, tuple(clips.classes)
        )
    )
    return sample(generator.mapping, _key(config))


def read_factors(generator: sg2.Generator, scorer: Scorer, ws: Float[Array, "n l d"]) -> Float[Array, "n f"]:
    """The scorer's readings of the latents' images, computed in batches.

    Raises ValueError if they are not one number for each of its factors, or a factor does not vary.
    """
    look = ranking.looker(generator, scorer)
    starts = tqdm(range(0, len(ws), _CHUNK), desc="reading samples", unit_scale=_CHUNK, unit=" faces")
    readings: list[np.ndarray] = []
    for start in starts:
        readings.append(np.asarray(look(ws[start : start + _CHUNK])))
        if readings[0].shape[1:] != (f := len(scorer.names),):
            raise ValueError(f"the scorer reads {list(readings[0].shape[1:])} numbers a picture, but names {f} factors")
    factors = np.concatenate(readings)
    spread, size = np.ptp(factors, axis=0), np.abs(factors).max(axis=0)
    if still := [name for name, varies in zip(scorer.names, spread > _LEAST_SPREAD * size, strict=True) if not varies]:
        raise ValueError(
            f"the scorer reads one and the same {', '.join(still)} in all {len(ws)} samples, or no number: leave it "
            "out of the scorer's names, as nothing is known of how it moves"
        )
    return jnp.asarray(factors)


def _candidates(config: ConfigDict, generator: sg2.Generator, ws: Float[Array, "n l d"], count: int) -> Directions:
    options, clips = config.directions, config.clips
    layers = tuple(options.layers)
    match options.source:
        case "videos":
            return from_videos(read_videos(options.videos, generator), ws, count)
        case "sefa":
            return unsupervised.sefa(generator, ws, layers, count)
        case "pca":
            batches = sample_w_batches(
                generator.mapping, _key(config), options.pca_samples, clips.truncation_psi, tuple(clips.classes)
            )
            shown = tqdm(batches, desc="sampling latents", unit=" batches")
            return unsupervised.pca((batch for batch in shown), ws, layers, count)
        case "random":
            return unsupervised.random(_key(config), ws, layers, count)
        case "stylespace":
            return channel_candidates(generator, ws, tuple(options.channels), layers, count)
        case _:
            return _by_scorer(options, generator, ws)


def _by_scorer(options: ConfigDict, generator: sg2.Generator, ws: Float[Array, "n l d"]) -> Directions:
    scorer = load_scorer(options.scorer)
    scores, wanted = read_factors(generator, scorer, ws), structure_names(scorer)
    if options.method == "conditional":
        return by_scorer.from_scores(ws, scores, scorer.names, wanted, options.ridge)
    tail = options.tail if options.method == "logistic" else None
    return by_scorer.hyperplanes(
        ws, scores, scorer.names, wanted, options.ridge, tail=tail, orthogonalise=options.orthogonalise
    )


def _key(config: ConfigDict) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(config.seed), 1 << 30)  # distinct from the indices of clips
