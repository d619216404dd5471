"""Build a clip source from a config. Directions are found once and kept in the workdir."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.clips.clip import ClipSource, LatentStats
from disentangle_jax.clips.config import ClipConfig
from disentangle_jax.clips.purification import Purifier, RenderedScorer
from disentangle_jax.clips.streams import SOURCES as DATA_SOURCES
from disentangle_jax.directions import find
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.directions.directions import Directions
from disentangle_jax.directions.fit_readout import blank_readout, find_readout
from disentangle_jax.directions.from_file import read_directions
from disentangle_jax.directions.readout import FILE as READOUT
from disentangle_jax.directions.readout import Readout
from disentangle_jax.generators import digest
from disentangle_jax.latents import check_classes
from disentangle_jax.scorers import appearance_names, load_scorer, structure_names
from stylegan2_flax.files import AnyPath, as_path

Population = Callable[[], Float[Array, "n l d"]]
"""The latents that directions are found in, sampled when they are first needed."""


def check(config: ConfigDict, generator: sg2.Generator, workdir: str | AnyPath) -> None:
    """Check `config.clips`, `config.directions`, `config.purify` and `config.data` before any work.

    Args:
        config: the experiment.
        generator: the generator whose latents become clips.
        workdir: where directions may have been found before.

    Raises:
        FileNotFoundError: a scorer's file does not exist.
        ValueError: a field is invalid, a scorer is unknown, or two fields do not go together.
    """
    clips, purify = ClipConfig.of(config.clips), config.purify
    check_classes(generator.mapping, clips.classes)
    is_found = _directions_file(workdir).exists()
    find.check(config, generator, found=is_found)
    # A file's number of directions is known once it is read, as those that were found are.
    is_known = config.directions.source in find.SOURCES and not is_found
    clips.check(generator.num_ws, find.count(config, generator) if is_known else 0)
    if config.data.source not in DATA_SOURCES:
        raise ValueError(f"unknown data.source {config.data.source!r}: choose from {', '.join(DATA_SOURCES)}")
    if config.data.tile < 1:
        raise ValueError(f"data.tile is {config.data.tile}, but clips are made at least 1 at a time")
    if clips.layers == "each" and config.directions.source == "scorer" and config.directions.style_mixing > 0.0:
        raise ValueError(
            f"clips.layers='each' needs directions that are the same in all layers, and those that a scorer finds on "
            f"mixed faces are not: set directions.style_mixing=0 (it is {config.directions.style_mixing}), or "
            f"clips.layers='together'"
        )
    if clips.motion == "readout":
        load_scorer(config.directions.scorer)
        if config.readout.source != "scorer" and not (
            (as_path(workdir) / READOUT).exists() or as_path(config.readout.source).is_file()
        ):
            raise ValueError(f"unknown readout.source {config.readout.source!r}: neither a file nor scorer")
        if config.directions.source in set(find.SOURCES) - {"scorer"}:
            raise ValueError(
                f"clips.motion='readout' moves the scorer's factors of structure, not {config.directions.source!r} "
                "directions: set directions.source='scorer', or take the switch linear (faces64:linear)"
            )
        if config.directions.rank != "none" and not is_found:
            raise ValueError(
                "clips.motion='readout' moves all of the scorer's factors of structure, in their order: set "
                f"directions.rank='none' (it is {config.directions.rank!r}), or take the switch linear (faces64:linear)"
            )
    if clips.appearance > 0.0:
        if clips.appearance_from == "scorer":
            load_scorer(config.directions.scorer)
        elif not (_appearance_file(workdir).exists() or as_path(clips.appearance_from).is_file()):
            raise ValueError(f"unknown clips.appearance_from {clips.appearance_from!r}: neither a file nor scorer")
    if purify.steps > 0:
        if clips.coordinates == "offset":
            raise ValueError("clips of offset coordinates cannot be purified: on another face the structure differs")
        wanted, read = (load_scorer(section.scorer).names for section in (config.directions, purify))
        if wanted != read:
            raise ValueError(
                f"purify.scorer {purify.scorer!r} must read the same factors as directions.scorer "
                f"{config.directions.scorer!r}, in the same order"
            )


def build_clip_source(config: ConfigDict, generator: sg2.Generator, workdir: str | AnyPath) -> ClipSource:
    """The clip source of `config.clips` along the directions of `config.directions`, purified by `config.purify`.

    The directions are read from workdir/directions.safetensors, or found and written there. If the config purifies
    clips or augments them by a scorer, so are directions of all factors that it reads: workdir/factors.safetensors. If
    it augments them by a file of directions, this is kept as workdir/appearance.safetensors. If clips move by a
    readout, it is read from workdir/readout.safetensors, or fitted and written there.

    Raises:
        FileNotFoundError: a scorer's file does not exist.
        ValueError: the config is invalid.
    """
    check(config, generator, workdir)
    clips, path = ClipConfig.of(config.clips), _directions_file(workdir)
    population: Population = cache(lambda: find.sample_population(config, generator))
    if not path.exists():
        find.find_directions(config, generator, population()).save(workdir)
    directions = Directions.load(path)
    appearance = None
    if clips.appearance > 0.0:
        appearance = _appearance(config, generator, population, workdir)
    purifier = None
    if config.purify.steps > 0:
        purifier = _purifier(config, generator, population, workdir)
    readout = None
    if clips.motion == "readout":
        readout = _readout(config, generator, directions, workdir)
    return ClipSource.create(generator, directions, clips, appearance, purifier, readout)


def blank_clip_source(config: ConfigDict, generator: sg2.Generator, workdir: str | AnyPath) -> ClipSource:
    """A clip source of the shapes that `build_clip_source` gives, with zeros for all that it would find.

    It is what a step is compiled with before any directions are found. What the workdir has, or a file, is read.
    """
    clips, scorer, appearance, purifier = ClipConfig.of(config.clips), config.directions.scorer, (), None
    if clips.appearance > 0.0 and clips.appearance_from == "scorer":
        appearance = appearance_names(load_scorer(scorer))
    elif clips.appearance > 0.0 and (path := _appearance_file(workdir)).exists():
        appearance = Directions.load(path).names
    elif clips.appearance > 0.0:
        population, layers = find.sample_population(config, generator), (0, generator.num_ws - 1)
        appearance = read_directions(clips.appearance_from, generator, population, layers).names
    if config.purify.steps > 0:
        reader = RenderedScorer(generator.synthesis, load_scorer(config.purify.scorer))
        vectors, spread = _blank_directions(reader.names, generator).vectors, jnp.ones(len(reader.names))
        purifier = Purifier(reader, vectors, spread, config.purify.steps, config.purify.damping)
    if (path := _directions_file(workdir)).exists():
        found = Directions.load(path)
    else:
        found = _blank_directions([str(i) for i in range(find.count(config, generator))], generator)
    clips.check(generator.num_ws, len(found.names))
    graphdef, mapping = nnx.split(generator.mapping)
    stats = LatentStats(found.mean, jnp.ones_like(found.mean))
    precision = jnp.eye(len(found.names))
    looks = _blank_directions(appearance, generator)
    readout = None
    if clips.motion == "readout":
        path = as_path(workdir) / READOUT
        readout = Readout.load(path) if path.exists() else blank_readout(config, generator)
        readout = replace(readout, restraint=config.readout.restraint)
    return ClipSource(mapping, stats, found, looks, precision, purifier, readout, graphdef, clips)


def _blank_directions(names: Sequence[str], generator: sg2.Generator) -> Directions:
    vectors = jnp.zeros((len(names), generator.num_ws, generator.w_dim))
    return Directions(vectors, vectors, jnp.zeros(vectors.shape[1:]), tuple(names))


def _directions_file(workdir: str | AnyPath) -> AnyPath:
    return as_path(workdir) / "directions.safetensors"


def _appearance_file(workdir: str | AnyPath) -> AnyPath:
    return as_path(workdir) / "appearance.safetensors"


def _readout(config: ConfigDict, generator: sg2.Generator, directions: Directions, workdir: str | AnyPath) -> Readout:
    path, wanted = as_path(workdir) / READOUT, structure_names(load_scorer(config.directions.scorer))
    if directions.names != wanted:
        raise ValueError(
            f"clips move along {', '.join(directions.names)}, but directions.scorer reads {', '.join(wanted)}: with "
            "clips.motion='readout' the directions must be those of the scorer's structure factors, in their order"
        )
    if not path.exists():
        find_readout(config, generator).save(path)
    readout = Readout.load(path)
    if structure_names(readout) != wanted:
        raise ValueError(
            f"the latent readout reads {', '.join(structure_names(readout))}, but directions.scorer "
            f"{', '.join(wanted)}: set readout.source='scorer' to fit another"
        )
    if readout.restraint != config.readout.restraint:  # a copy of another run's: the workdir keeps what this one uses
        readout = replace(readout, restraint=config.readout.restraint)
        readout.save(path)
    return readout


def _purifier(config: ConfigDict, generator: sg2.Generator, population: Population, workdir: str | AnyPath) -> Purifier:
    options = config.purify
    reader = RenderedScorer(generator.synthesis, load_scorer(options.scorer))
    factors = _factor_directions(config, generator, population, workdir)
    return Purifier.create(reader, factors, population()[: options.num_faces], options.steps, options.damping)


def _appearance(
    config: ConfigDict, generator: sg2.Generator, population: Population, workdir: str | AnyPath
) -> Directions:
    if config.clips.appearance_from == "scorer":
        names = appearance_names(load_scorer(config.directions.scorer))
        return _factor_directions(config, generator, population, workdir).of(names)
    path = _appearance_file(workdir)
    if not path.exists():
        found = read_directions(config.clips.appearance_from, generator, population(), (0, generator.num_ws - 1))
        replace(found, generator=digest(generator)).save(path)
    return Directions.load(path)


def _factor_directions(
    config: ConfigDict, generator: sg2.Generator, population: Population, workdir: str | AnyPath
) -> Directions:
    """Directions of all factors that `config.directions.scorer` reads, each conditional on the others."""
    path, options = as_path(workdir) / "factors.safetensors", config.directions
    if not path.exists():
        scorer = load_scorer(options.scorer)
        scores = find.read_factors(generator, scorer, population())
        found = from_scores(population(), scores, scorer.names, scorer.names, options.ridge)
        replace(found, source="scorer", generator=digest(generator)).save(path)
    return Directions.load(path)
