"""Purity of clips and augmentations: unwanted changes, as a judge reads them that is not used to make the clips.

    python experiments/purity.py --out=runs/purity                 prints the table, writes purity.json and purity.png
    python experiments/purity.py --out=runs/purity --clips=8 --num_samples=1024       a quick look

Within a clip, appearance should stay and structure change; between a frame and its augmented version, the reverse. A
change is the root mean square over factors of the differences of the readings, each divided by sqrt(2) times the
factor's standard deviation in the population, so that a random pair has 1. It includes the judge's error: readings of
exact images of one face in many poses drift too. This floor is measured, and `net` is the drift without it:
sqrt(drift^2 - floor^2).
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from absl import flags
from flax import nnx
from jaxtyping import Float
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from tqdm import tqdm

from disentangle_jax import faces
from disentangle_jax.batching import in_batches
from disentangle_jax.clips import ClipSource, build_clip_source, sample_clip
from disentangle_jax.clips.purification import RenderedScorer
from disentangle_jax.configs import faces64
from disentangle_jax.faces import APPEARANCE, Factors, Judge
from disentangle_jax.generators import load_generator
from disentangle_jax.latents import sample_mixed_ws
from stylegan2_flax import command, files

BATCH = 8  # clips whose images are in memory at a time
CHANGES = ("clip_appearance", "clip_structure", "augmented_structure", "augmented_appearance")
_ONLY = {"clips.change_face": 0.0, "clips.mix_layers": 0.0, "clips.noise": 0.0, "clips.appearance": 0.0}


class Setting(NamedTuple):
    """A way to make clips: its name, the folder of its directions, and what it changes of the config."""

    name: str
    directions: str
    change: Mapping[str, Any]


SETTINGS = (
    Setting("scorer's directions", "scorer", {}),
    Setting("... as offsets", "scorer", {"clips.coordinates": "offset"}),
    Setting("... fine layers mixed", "scorer", {**_ONLY, "clips.mix_layers": 1.0}),
    Setting("... noise of 0.5", "scorer", {**_ONLY, "clips.noise": 0.5}),
    Setting("... appearance moved by 1", "scorer", {**_ONLY, "clips.appearance": 1.0}),
    Setting("... another face", "scorer", {**_ONLY, "clips.change_face": 1.0}),
    Setting("... purified, 4 steps", "scorer", {"purify.steps": 4}),
    Setting("SeFa, layers 0-6", "sefa", {"directions.source": "sefa"}),
    Setting("... fine layers mixed", "sefa", {**_ONLY, "clips.mix_layers": 1.0}),
    Setting("... another face", "sefa", {**_ONLY, "clips.change_face": 1.0}),
    Setting("SeFa, layers 0-2", "sefa_coarse", {"directions.source": "sefa", "directions.layers": (0, 2)}),
    Setting("SeFa, ranked by pictures", "sefa_ranked", {"directions.source": "sefa", "directions.rank": "pictures"}),
    Setting("random directions", "random", {"directions.source": "random"}),
)


FLAGS = flags.FlagValues()
OUT = flags.DEFINE_string(
    "out", None, "folder for the results, and for the directions that are found", required=True, flag_values=FLAGS
)
CLIPS = flags.DEFINE_integer("clips", 64, f"clips of each setting, a multiple of {BATCH}", 1, flag_values=FLAGS)
flags.register_validator("clips", lambda n: n % BATCH == 0, f"must be a multiple of {BATCH}", flag_values=FLAGS)
NUM_SAMPLES = flags.DEFINE_integer("num_samples", 8192, "faces to find directions with", 1, flag_values=FLAGS)
DIRECTIONS = flags.DEFINE_multi_enum(
    "directions",
    sorted({setting.directions for setting in SETTINGS}),
    sorted({setting.directions for setting in SETTINGS}),
    "settings with these directions only; may be repeated",
    flag_values=FLAGS,
)


def main() -> None:
    settings = [setting for setting in SETTINGS if setting.directions in DIRECTIONS.value]
    rows = compare(settings, CLIPS.value, NUM_SAMPLES.value, files.local_path(OUT.value, "--out"))
    print(table(rows))


def compare(settings: Sequence[Setting], num_clips: int, num_samples: int, folder: Path) -> list[dict[str, Any]]:
    """Measure all settings, and write purity.json and purity.png into the folder."""
    base = faces64.get_config("linear")
    base.directions.num_samples = num_samples
    generator, judge = load_generator(base.generator), Judge.load(base.evaluation.judge)
    reader = RenderedScorer(generator.synthesis, judge)
    rows = []
    spread = None
    for setting in tqdm(settings, desc="measuring", unit=" settings"):
        config = base.copy_and_resolve_references()
        config.update_from_flattened_dict(setting.change)
        source = build_clip_source(config, generator, folder / f"{setting.directions}_{num_samples}")
        if spread is None:
            spread = population_spread(reader, source, config)
            rows.append({"name": "exact pictures", **measure(*exact_readings(judge, config, num_clips), spread)})
        rows.append({"name": setting.name, **measure(*readings(reader, source, config, num_clips), spread)})
    for row in rows:
        row |= {f"{name}_net": _net(row[name], rows[0][name]) for name in ("clip_appearance", "augmented_structure")}
    about = {"command": " ".join(sys.argv), "judge": base.evaluation.judge, "scorer": base.directions.scorer}
    about |= {"seed": base.evaluation.seed, "clips": num_clips, "frames": base.clips.num_frames}
    files.write_text(folder / "purity.json", json.dumps(about | {"settings": rows}, indent=1))
    draw(rows, folder / "purity.png")
    return rows


def readings(
    reader: RenderedScorer, source: ClipSource, config: ConfigDict, n: int
) -> tuple[Float[np.ndarray, "n t f"], Float[np.ndarray, "n t f"]]:
    """Readings of the frames of n clips, and of their augmented versions."""
    call = jax.jit(_read_clips)
    keys = jax.random.split(_key(config), n)
    parts = [jax.device_get(call(reader, source, keys[i : i + BATCH])) for i in range(0, n, BATCH)]
    frames, augmented = (np.concatenate(part) for part in zip(*parts, strict=True))
    return frames, augmented


def _read_clips(reader: RenderedScorer, source: ClipSource, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    clips = jax.vmap(sample_clip, (None, 0))(source, keys)
    clips = clips if source.purifier is None else source.purifier(clips)
    views = jnp.stack([clips.ws, clips.augmented])
    read = reader(views.reshape(-1, *views.shape[3:])).reshape(*views.shape[:3], -1)
    return read[0], read[1]


def exact_readings(
    judge: Judge, config: ConfigDict, n: int
) -> tuple[Float[np.ndarray, "n t f"], Float[np.ndarray, "n t f"]]:
    """Readings of exact images: n faces in t poses, and other faces in the same poses."""
    t = config.clips.num_frames

    @jax.jit
    def look(judge: Judge, appearance: jax.Array, structure: jax.Array) -> jax.Array:
        return judge(faces.render(Factors(appearance, structure), resolution=64))

    poses, others = (faces.sample(key, n * t) for key in jax.random.split(_key(config)))
    still = jnp.repeat(others.appearance[:n], t, axis=0)
    read = [
        in_batches(lambda *factors: look(judge, *factors), BATCH * t, appearance, poses.structure).reshape(n, t, -1)
        for appearance in (still, poses.appearance)
    ]
    return read[0], read[1]


def population_spread(reader: RenderedScorer, source: ClipSource, config: ConfigDict) -> Float[np.ndarray, "f"]:
    """Standard deviation of the readings of each factor, over random faces."""
    clips = config.clips
    mapping = nnx.merge(source.graphdef, source.mapping)
    options = (512, clips.truncation_psi, clips.style_mixing, tuple(clips.classes))
    ws = jax.jit(lambda mapping, key: sample_mixed_ws(mapping, key, *options))(mapping, _key(config))
    return in_batches(jax.jit(reader), 64, ws).std(0)


def measure(
    frames: Float[np.ndarray, "n t f"], augmented: Float[np.ndarray, "n t f"], spread: Float[np.ndarray, "f"]
) -> dict[str, float]:
    """All `CHANGES`, from readings of frames and of their augmented versions."""
    one, other = np.triu_indices(frames.shape[1], 1)
    within, between = ((x / spread / math.sqrt(2)) for x in (frames[:, one] - frames[:, other], frames - augmented))
    a = len(APPEARANCE)
    parts = within[..., :a], within[..., a:], between[..., a:], between[..., :a]
    return {name: float(np.sqrt(np.mean(part**2))) for name, part in zip(CHANGES, parts, strict=True)}


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of all changes, with the unwanted ones also net of the floor."""
    lines = [
        "| clips | appearance drift in a clip | net | its motion | structure drift of augmentation | net | its look |",
        "|---|---|---|---|---|---|---|",
    ]
    columns = ("clip_appearance", "clip_appearance_net", "clip_structure")
    columns += ("augmented_structure", "augmented_structure_net", "augmented_appearance")
    lines += ["| " + " | ".join([row["name"], *(f"{row[name]:.3f}" for name in columns)]) + " |" for row in rows]
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the unwanted changes as bars, and the floor as a line."""
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 0.42 * len(rows) + 1.2), layout="constrained")
        titles = {"clip_appearance": "appearance within a clip", "augmented_structure": "structure of augmented frames"}
        for axes, (name, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
            axes.barh(range(len(rows)), [row[name] for row in rows], color="#4c72b0", height=0.65)
            axes.axvline(rows[0][name], color="#6a6a74", linewidth=1, linestyle=":")
            axes.set(title=title, xlabel="drift (a random pair: 1)", yticks=range(len(rows)))
            axes.set_yticklabels([row["name"] for row in rows])
        figure.axes[0].invert_yaxis()
        with files.atomic(path) as temporary:
            figure.savefig(temporary, dpi=120, facecolor="white")


def _net(drift: float, floor: float) -> float:
    return math.sqrt(max(drift**2 - floor**2, 0.0))


def _key(config: ConfigDict) -> jax.Array:
    return jax.random.fold_in(jax.random.key(config.evaluation.seed), int.from_bytes(b"pure"))


if __name__ == "__main__":
    command.run(main, FLAGS)
