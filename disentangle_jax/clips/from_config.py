"""From a config to a clip source: directions are found once, kept in the workdir, and read from there afterwards."""

from dataclasses import replace
from pathlib import Path

from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.clips.clip import ClipConfig, ClipSource
from disentangle_jax.clips.purification import Purifier, Reader
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.directions.directions import Directions, digest
from disentangle_jax.directions.find import find, score, search_faces
from disentangle_jax.directions.from_file import read_directions
from disentangle_jax.scorers import appearance_names, load_scorer


def build_clip_source(config: ConfigDict, generator: sg2.Generator, workdir: str | Path) -> ClipSource:
    """The clip source of `config.clips` along the directions of `config.directions`, purified by `config.purify`.

    The directions come from workdir/directions.safetensors if it is there; else they are found and written there. So
    are, where the config asks for what needs them, those of all factors that a scorer reads: factors.safetensors.

    Raises:
        FileNotFoundError: there is no such scorer.
        ValueError: the config asks for the impossible.
    """
    recipe = ClipConfig.of(config.clips)
    path = Path(workdir) / "directions.safetensors"
    if not path.exists():
        find(config, generator, recipe).save(workdir)
    directions = Directions.load(path)
    appearance = None
    if recipe.appearance > 0.0:
        appearance = _appearance(config, generator, recipe, workdir)
    purifier = None
    if config.purify.steps > 0:
        if recipe.coordinates == "offset":
            raise ValueError("clips of offset coordinates cannot be purified: on another face the structure differs")
        options = config.purify
        factors = _factors(config, generator, recipe, workdir)
        ws = search_faces(config, generator, recipe)[: options.num_faces]
        reader = Reader(generator.synthesis, load_scorer(options.scorer))
        purifier = Purifier.create(reader, factors, ws, options.steps, options.damping)
    return ClipSource.create(generator, directions, recipe, appearance, purifier)


def _appearance(config: ConfigDict, generator: sg2.Generator, recipe: ClipConfig, workdir: str | Path) -> Directions:
    if recipe.appearance_from == "scorer":
        return _factors(config, generator, recipe, workdir).of(appearance_names(load_scorer(config.directions.scorer)))
    if not Path(recipe.appearance_from).is_file():
        raise ValueError(f"unknown clips.appearance_from {recipe.appearance_from!r}: neither a file nor scorer")
    ws = search_faces(config, generator, recipe)
    return read_directions(recipe.appearance_from, generator, ws, (0, generator.num_ws - 1))


def _factors(config: ConfigDict, generator: sg2.Generator, recipe: ClipConfig, workdir: str | Path) -> Directions:
    """Directions of all factors that `config.directions.scorer` reads, each conditional on the others."""
    path, options = Path(workdir) / "factors.safetensors", config.directions
    if not path.exists():
        ws = search_faces(config, generator, recipe)
        scorer = load_scorer(options.scorer)
        found = from_scores(ws, score(generator, scorer, ws), scorer.names, scorer.names, options.ridge)
        replace(found, source="scorer", generator=digest(generator)).save(path)
    return Directions.load(path)
