"""How far a ranking of directions that needs no label agrees with a judge's ranking.

    python experiments/ranking.py --seeds=0,1                        all SeFa directions of the bundled generator
    python experiments/ranking.py --seeds=0 --source=pca --faces=32  others, a quick look

The candidates are ranked twice: by how far they move edges against colours (`directions.ranking.by_picture`), and by
what a judge reads. Agreement is Spearman's correlation of the two purities. The purity of the directions that either
ranking keeps, and of all, is the judge's.
"""

from collections.abc import Mapping

import numpy as np
from absl import flags
from ml_collections import ConfigDict
from scipy.stats import spearmanr

import stylegan2_flax as sg2
from disentangle_jax.configs import faces64
from disentangle_jax.directions import find
from disentangle_jax.directions.ranking import Ranking, looker, rank
from disentangle_jax.generators import load_generator
from stylegan2_flax import command

FLAGS = flags.FlagValues()
SEEDS = flags.DEFINE_list("seeds", ["0"], "seeds of the faces, separated by commas", flag_values=FLAGS)
flags.register_validator(
    "seeds", lambda values: all(map(str.isdecimal, values)), "must be numbers, such as 0,1", flag_values=FLAGS
)
SOURCE = flags.DEFINE_enum(
    "source", "sefa", ("sefa", "pca", "random"), "where the candidates come from", flag_values=FLAGS
)
CANDIDATES = flags.DEFINE_integer("candidates", 64, "directions to rank", 2, flag_values=FLAGS)
FACES = flags.DEFINE_integer(
    "faces", None, "faces moved along each (default: directions.rank_faces of faces64)", 2, flag_values=FLAGS
)

COLUMNS = ("agreement", "kept by pictures", "kept by the judge", "all")


def main() -> None:
    config = faces64.get_config("linear")
    kept = config.directions.num
    config.directions.update(source=SOURCE.value, rank="none", num=CANDIDATES.value)
    if FACES.value is not None:
        config.directions.rank_faces = FACES.value
    generator = load_generator(config.generator)
    rows = []
    for seed in map(int, SEEDS.value):
        config.seed = seed
        rows.append(compare(*rankings(config, generator), kept))
    print(table(rows))


def rankings(config: ConfigDict, generator: sg2.Generator) -> tuple[Ranking, Ranking]:
    """The same candidates ranked by pictures and by the scorer of the config."""
    options = config.directions
    ws = find.sample_population(config, generator)
    directions = find.find_directions(config, generator, ws).directions

    def ranked(by: str) -> Ranking:
        look = looker(generator, find.image_reader(by, options.scorer))
        return rank(directions, ws[: options.rank_faces], look, by, options.least_change)

    return ranked("pictures"), ranked("scorer")


def compare(by_pictures: Ranking, by_judge: Ranking, kept: int) -> dict[str, float]:
    """Spearman's correlation, and the mean purity, as the judge sees it, of the directions that each ranking keeps."""
    purity = by_judge.purity
    agreement = spearmanr(by_pictures.purity, purity)
    chosen = (purity[by_pictures.best(kept)], purity[by_judge.best(kept)], purity)
    return dict(zip(COLUMNS, (float(np.asarray(agreement)[0]), *(float(x.mean()) for x in chosen)), strict=True))


def table(rows: list[Mapping[str, float]]) -> str:
    """Markdown: the mean over seeds, and the least and the most."""
    lines = ["| | mean | least | most |", "|---|---|---|---|"]
    for name in COLUMNS:
        values = [row[name] for row in rows]
        lines.append(f"| {name} | {np.mean(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, FLAGS)
