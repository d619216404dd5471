"""When does the method pay? A world without pictures, as curved as one likes.

    python experiments/curved_world.py --out=runs/curved_world                     minutes on two cores
    python experiments/curved_world.py --out=runs/curved_world --seeds=3 --curvatures=0,0.5,1

The latents are those of the bundled generator, and the scorer is their truth itself, with an error of its own: nothing
is drawn. Where latents are straight (curvature 0) no method can beat linear transfer along the directions that a
regression finds. Where they are curved (1: as the bundled generator's) a latent readout can, and so can a model whose
clips it moved; a model on clips along straight lines equals its teacher.

Writes results.json and results.md into --out: R^2 of the driving's structure and of the source's appearance, by the
truth of the output latents, on pairs of W; and R^2 of a ridge probe that looks for structure in the appearance code and
for appearance in the structure code. The same command goes on where a stopped one was.
"""

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.clips import ClipConfig, ClipSource
from disentangle_jax.clips.streams import open_stream
from disentangle_jax.configs import faces64
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.directions.directions import Directions
from disentangle_jax.directions.fit_readout import fit_readout
from disentangle_jax.directions.readout import Readout
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.evaluation import baselines, probes
from disentangle_jax.evaluation.motion import truth_animator
from disentangle_jax.evaluation.transfer import score_by_truth
from disentangle_jax.faces.domain import ParametricFaces
from disentangle_jax.faces.truth import Truth
from disentangle_jax.generators import load_generator
from disentangle_jax.latents import sample_ws
from disentangle_jax.model import Autoencoder
from disentangle_jax.scorers import split, structure_names
from disentangle_jax.training.objective import Frozen
from disentangle_jax.training.random_streams import random_streams
from disentangle_jax.training.trainer import make_trainer
from stylegan2_flax import command, files
from stylegan2_flax.run import parallel
from stylegan2_flax.run.loop import Schedule, train
from stylegan2_flax.run.train_state import graphdef

FLAGS = flags.FlagValues()
OUT = flags.DEFINE_string("out", None, "folder of the runs and of the results", required=True, flag_values=FLAGS)
SEEDS = flags.DEFINE_integer("seeds", 1, "how many seeds, from 0 on", lower_bound=1, flag_values=FLAGS)
STEPS = flags.DEFINE_integer("steps", 4000, "steps of each training", lower_bound=200, flag_values=FLAGS)
CURVATURES = flags.DEFINE_list(
    "curvatures", ["0", "1"], "factors on the curvature of the bundled generator's truth", flag_values=FLAGS
)
ERROR = flags.DEFINE_float(
    "error", 0.15, "of the scorer: standard deviation in factors, which lie in [-1, 1]", 0.0, flag_values=FLAGS
)

MOTIONS = ("linear", "readout")
PAIRS, FACES, POSES = 2048, 512, 4
_BATCH = 512


@dataclass(frozen=True)
class World:
    """Everything that is the same for all trainings of one curvature and seed."""

    generator: sg2.Generator
    domain: ParametricFaces
    directions: Directions
    readout: Readout


def main() -> None:
    out, rows = files.local_path(OUT.value, "--out"), []
    curvatures, generator = curvatures_of(CURVATURES.value), load_generator("faces64")
    for curvature in curvatures:
        for seed in range(SEEDS.value):
            rows += list(measure(generator, curvature, seed, out))
            files.write_text(out / "results.json", json.dumps(rows, indent=1))
            files.write_text(out / "results.md", table(rows))
    print(table(rows))


def curvatures_of(words: Sequence[str]) -> list[float]:
    """The numbers of --curvatures. Raises ValueError if one is none, or negative."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [math.nan]
    if not all(0.0 <= number < math.inf for number in numbers):
        raise ValueError(f"--curvatures={','.join(words)} must be numbers of at least 0, such as 0,0.5,1")
    return numbers


def measure(generator: sg2.Generator, curvature: float, seed: int, out: Path) -> Iterator[dict[str, Any]]:
    """The scores of all methods in one world: linear transfer, the search on the readout, and a model of each kind."""
    world = None
    for motion in (None, *MOTIONS):
        kind = f"{motion}_{STEPS.value}" if motion else "baselines"
        folder = out / f"curvature{curvature:g}_error{ERROR.value:g}_seed{seed}_{kind}"
        scores = folder / "scores.json"
        if not scores.exists():
            world = world or build_world(generator, curvature, seed)
            found = transfers(world) if motion is None else trained(world, config_of(motion, seed), folder)
            files.write_text(scores, json.dumps(found))
        for method, values in json.loads(scores.read_text()).items():
            yield {"curvature": curvature, "seed": seed, "method": method, **values}


def config_of(motion: str, seed: int) -> ConfigDict:
    """The demo's model on clips of this motion."""
    config = faces64.get_config("demo")
    config.seed = seed
    config.loss.weights.factors = config.clips.jitter = 0.0  # which straight lines cannot have
    config.clips.motion = motion
    config.train.update(num_steps=STEPS.value, checkpoint_every=STEPS.value // 4)
    return config


def build_world(generator: sg2.Generator, curvature: float, seed: int) -> World:
    """The truth, and what its scorer's readings give: directions, and a readout."""
    config, truth = config_of("readout", seed), Truth.load("faces64")
    domain = ParametricFaces(replace(truth, curvature=curvature * truth.curvature))
    k_lines, k_readout, k_errors = jax.random.split(jax.random.key(seed), 3)
    errors = iter(jax.random.split(k_errors, 3))  # of the directions, and of both fits of the readout

    def read(ws: Float[Array, "n l d"]) -> Float[Array, "n f"]:
        factors = domain.truth(ws)
        return factors + ERROR.value * jax.random.normal(next(errors), factors.shape)

    ws = sample_ws(generator.mapping, k_lines, config.directions.num_samples, 1.0)
    directions = from_scores(ws, read(ws), domain.names, domain.structure, config.directions.ridge)
    readout = fit_readout(k_readout, generator, read, domain, config)
    return World(generator, domain, directions, readout)


def trained(world: World, config: ConfigDict, folder: Path) -> dict[str, dict[str, float]]:
    """Train a model on clips of this world, and score it."""
    readout = world.readout if config.clips.motion == "readout" else None
    source = ClipSource.create(world.generator, world.directions, ClipConfig.of(config.clips), readout=readout)
    mesh = parallel.make_mesh(config.train.batch_size, config.train.accumulate)
    stream = open_stream(config, source, random_streams(config.seed).clips, mesh)
    trainer = make_trainer(config, stream, source.stats.mean, source.stats.std, Frozen())
    state = train(trainer, Schedule.of(config.train), folder)
    whole = graphdef(lambda: Autoencoder(*source.stats, **config.model, rngs=nnx.Rngs(0)))
    autoencoder = nnx.merge(whole, state.ema_params, state.buffers)
    model = Disentangler(autoencoder, world.generator, world.directions, config)
    scores = transfer_scores(world, baselines.autoencoder(model))
    return {f"model on {config.clips.motion} clips": scores | leaks(world, model)}


def transfers(world: World) -> dict[str, dict[str, float]]:
    """The methods that need no training."""
    methods = {
        "linear transfer": baselines.linear_transfer(world.directions),
        "search on the readout": baselines.readout_search(world.directions, world.readout),
        "search with the truth": baselines.oracle(world.domain),
    }
    return {name: transfer_scores(world, method) for name, method in methods.items()}


def transfer_scores(world: World, method: baselines.Method) -> dict[str, float]:
    """R^2 of the factors that the outputs of a method stand for."""
    sources, drivings = (sample_ws(world.generator.mapping, jax.random.key(key), PAIRS, 1.0) for key in (101, 102))
    return score_by_truth(world.domain, method, sources, drivings, _BATCH)


def leaks(world: World, model: Disentangler) -> dict[str, float]:
    """What a ridge probe finds of one kind of factor in the other's code, on faces that it was not fitted to."""
    poses = jax.random.uniform(jax.random.key(103), (FACES, POSES, len(structure_names(world.domain))), minval=-1.0)
    faces = sample_ws(world.generator.mapping, jax.random.key(104), FACES, 1.0)
    ws = truth_animator(world.domain, 0.8).animate(faces, poses).reshape(FACES * POSES, *faces.shape[1:])
    codes, factors = model.encode(ws), split(world.domain.truth(ws), world.domain)
    options = probes.ProbeOptions.of(model.config.evaluation.probes)
    groups = np.repeat(np.arange(FACES), POSES)
    probe = partial(probes.probe, groups=groups, kind="ridge", seed=0, options=options)
    return {
        "structure in the appearance code": float(
            probe(np.asarray(codes.appearance), np.asarray(factors.structure)).mean()
        ),
        "appearance in the structure code": float(
            probe(np.asarray(codes.structure), np.asarray(factors.appearance)).mean()
        ),
    }


def table(rows: list[Mapping[str, Any]]) -> str:
    """Markdown: a row for each method in each world, the mean and the standard deviation over seeds."""
    columns = ("structure", "appearance", "structure in the appearance code", "appearance in the structure code")
    lines = ["| curvature | method | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for curvature, method in dict.fromkeys((row["curvature"], row["method"]) for row in rows):
        own = [row for row in rows if (row["curvature"], row["method"]) == (curvature, method)]
        cells = [_cell([row[column] for row in own if column in row]) for column in columns]
        lines.append(f"| {curvature:g} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    return f"{statistics.fmean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    command.run(main, FLAGS)
