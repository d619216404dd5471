"""Find directions that move structure, and draw them:

    python -m disentangle_jax.find_directions --config=faces64:linear --out=directions/pca \\
        --config.directions.source=pca --config.directions.rank=pictures

Writes into --out:
    directions.safetensors  the directions, for `config.directions.source` of a training run
    readout.safetensors     for clips that the readout moves and a scorer's directions: the latent readout, for
                            `config.readout.source`
    directions.png          faces moved along each direction, from -2 to 2 standard deviations
    ranking.json            how purely each direction, or each candidate that they were chosen from, moves structure
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array, Float
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax import configs, media
from disentangle_jax.directions import Directions, find
from disentangle_jax.directions.find import Found
from disentangle_jax.directions.fit_readout import find_readout
from disentangle_jax.directions.ranking import Ranking, looker, rank
from disentangle_jax.directions.readout import FILE as READOUT
from disentangle_jax.domains import load_domain
from disentangle_jax.generators import load_generator
from disentangle_jax.latents import check_classes, sample_ws
from disentangle_jax.scorers import load_scorer
from disentangle_jax.training import rules
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs)
OUT = flags.DEFINE_string("out", None, "folder to write to", required=True, flag_values=FLAGS)
FORCE = flags.DEFINE_bool("force", False, "overwrite the directions in --out", flag_values=FLAGS)
CLASS = flags.DEFINE_integer(
    "class",
    None,
    "of a conditional generator: the class of the faces in directions.png; config.clips.classes are those that the "
    "directions are found among",
    lower_bound=0,
    flag_values=FLAGS,
)

_STOPS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # standard deviations
_FACES = 3
_CELL = 72  # pixels of a face in the contact sheet, at least
_COLUMN = 90  # width in pixels of a column of numbers


def main() -> None:
    written = write_directions(CONFIG.value, files.local_path(OUT.value, "--out"), FORCE.value, CLASS.value)
    print(f"Wrote {', '.join(written[:-1])} and {written[-1]} to {OUT.value}")


def write_directions(config: ConfigDict, folder: Path, force: bool = False, label: int | None = None) -> list[str]:
    """Find, rank and save the directions of `config.directions`, and draw a contact sheet.

    Args:
        config: the experiment.
        folder: folder for the files; created if it is missing.
        force: whether to overwrite directions in the folder.
        label: class of the faces in the contact sheet, for a conditional generator; None for some of the faces that the
            directions were found with.

    Returns:
        The names of the files.

    Raises:
        ValueError: the config is invalid, the generator has no such class, the folder is a file, or it holds directions
            and `force` is not set.
    """
    files.check_folder(folder, folder)
    if not force and (folder / "directions.safetensors").exists():
        raise ValueError(f"{folder} already holds directions: give another --out, or --force to overwrite them")
    rules.check(config)
    generator = load_generator(config.generator)
    find.check(config, generator)
    if label is not None:
        check_classes(generator.mapping, (label,))
    ws = find.sample_population(config, generator)
    found = find.find_directions(config, generator, ws)
    ranking = found.ranking or _rank(config, generator, found.directions, ws)
    files_written = ["directions.safetensors", "directions.png", "ranking.json"]
    if config.clips.motion == "readout" and config.directions.source == "scorer":
        files_written.append(READOUT)
        find_readout(config, generator).save(folder / READOUT)
    else:
        (folder / READOUT).unlink(missing_ok=True)  # of earlier directions
    Found(found.directions, ranking).save(folder)
    faces = ws[:_FACES]
    if label is not None:
        key = jax.random.key(config.seed)
        faces = sample_ws(generator.mapping, key, _FACES, config.clips.truncation_psi, (label,))
    media.save_image(contact_sheet(generator, found.directions, faces, ranking), folder / "directions.png")
    return files_written


def contact_sheet(
    generator: sg2.Generator, directions: Directions, ws: Float[Array, "n l d"], ranking: Ranking
) -> Float[np.ndarray, "height width 3"]:
    """One row per direction: its name and scores, then each face moved along it by -2 to 2 standard deviations."""
    draw = looker(generator, lambda images: images)
    size = max(_CELL, min(generator.img_resolution, 2 * _CELL))
    rows = []
    for i in range(len(directions.names)):
        one = directions.select([i])
        strip = jnp.stack([one.move(ws, jnp.full((len(ws), 1), stop)) for stop in _STOPS], axis=1)
        rows.append(media.resize(media.to_rgb(draw(strip.reshape(-1, *ws.shape[1:]))), size))
    stops = media.text_cells([f"{stop:+.0f}" if stop else "0" for stop in _STOPS] * len(ws), size)
    places = [ranking.names.index(name) for name in directions.names]
    kinds = {"structure": ranking.structure, "appearance": ranking.appearance, "purity": ranking.purity}
    columns = [
        (f"by {ranking.by}", directions.names),
        *((kind, [f"{x[i]:.2f}" for i in places]) for kind, x in kinds.items()),
    ]
    titles = [media.text_cells(cells, _COLUMN, size) for _, cells in columns]
    corner = [media.text_cells([kind], _COLUMN, stops.shape[1])[0] for kind, _ in columns]
    return media.image_grid(
        np.stack(rows),
        row_headers=np.concatenate(titles, axis=2),
        column_headers=stops,
        corner=np.concatenate(corner, axis=1),
    )


def _rank(config: ConfigDict, generator: sg2.Generator, directions: Directions, ws: Float[Array, "n l d"]) -> Ranking:
    """Rank directions that were found without a ranking: by the scorer if it is of the domain, else by images."""
    options, domain = config.directions, load_domain(config.generator)
    is_of_domain = domain is not None and set(load_scorer(options.scorer).names) == set(domain.names)
    by = "scorer" if is_of_domain or options.source == "scorer" else "pictures"
    look = looker(generator, find.image_reader(by, options.scorer))
    return rank(directions, ws[: options.rank_faces], look, by, options.least_change)


if __name__ == "__main__":
    command.run(main, FLAGS)
