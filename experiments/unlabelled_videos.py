"""How many videos does it take, if nobody has labelled them, to learn directions of structure?

    python experiments/unlabelled_videos.py --out=runs/videos                  20 seconds of a core a video

Each video shows a parametric face that moves at random: its exact pictures, not the generator's. Writes into --out a
GIF of each to look at, and in latents/ what the inversion of its frames gives. Then the directions of every set of 2,
4, 8 ... of them are found, and transfers along these measured by the truth, beside swaps of layers and directions of a
scorer. The same command goes on where a stopped one was.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import flags
from jaxtyping import Float, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax import media
from disentangle_jax.configs import faces64, inversion
from disentangle_jax.directions import find
from disentangle_jax.directions.from_videos import from_videos, read_videos
from disentangle_jax.domains import Domain, load_domain
from disentangle_jax.evaluation import baselines
from disentangle_jax.evaluation.motion import sample_loop
from disentangle_jax.evaluation.transfer import score_by_truth
from disentangle_jax.generators import load_generator
from disentangle_jax.inversion import encoders, invert
from disentangle_jax.inversion.latent_files import write_latents
from disentangle_jax.latents import sample_ws
from disentangle_jax.scorers import Factors, appearance_names, join, structure_names
from stylegan2_flax import command, files

FLAGS = flags.FlagValues()
OUT = flags.DEFINE_string("out", None, "folder to write to", required=True, flag_values=FLAGS)
NUM = flags.DEFINE_integer("num", 32, "videos, each of another face", lower_bound=2, flag_values=FLAGS)
FRAMES = flags.DEFINE_integer("frames", 16, "of a video", lower_bound=5, flag_values=FLAGS)
SEED = flags.DEFINE_integer("seed", 0, "of the faces and motions", lower_bound=0, flag_values=FLAGS)

NAME = "faces64"
SIZES = (2, 4, 8, 16, 32, 64, 128)
PAIRS = 1024
AMPLITUDE = 0.8  # of the motion of each factor, which lies in [-1, 1]
FPS = 8.0


def main() -> None:
    out = files.local_path(OUT.value, "--out")
    generator, domain = load_generator(NAME), load_domain(NAME)
    assert domain is not None
    names = [f"seed{SEED.value}_{FRAMES.value}_frames_{i:03d}" for i in range(NUM.value)]
    there = {path.stem for path in (out / "latents").glob("*.safetensors")}
    if others := sorted(there - set(names)):
        raise ValueError(f"{out} holds videos of another --num, --frames or --seed ({others[0]}): give another --out")
    for i, name in enumerate(names):
        write_video(out, name, jax.random.fold_in(jax.random.key(SEED.value), i), generator, domain)
    print(table(read_videos(out / "latents", generator), generator, domain))


def write_video(out: Path, name: str, key: PRNGKeyArray, generator: sg2.Generator, domain: Domain) -> None:
    """Draw a face in motion and invert it, unless that was done before."""
    latents = out / "latents" / f"{name}.safetensors"
    if latents.exists():
        return
    images = draw(key, FRAMES.value, generator.img_resolution, domain)
    settings = inversion.get_config()
    settings.space = "w"  # the frames of a face that moves as a whole
    found = invert(images, generator, encoder=encoders.load_for(NAME), clip=True, settings=settings)
    media.save_video(images, out / f"{name}.gif", fps=FPS)
    write_latents(latents, found.ws, generator, name=NAME, space="w", source=f"{name}.gif", fps=FPS)
    print(f"{name}: inverted at {found.psnr.mean():.1f} dB")


def table(videos: Sequence[Float[np.ndarray, "_ l d"]], generator: sg2.Generator, domain: Domain) -> str:
    """Markdown: R^2 of transfers along the directions of sets of videos, mean and standard deviation over the sets."""
    config = faces64.get_config()
    population = find.sample_population(config, generator)
    sources, drivings = (sample_ws(generator.mapping, jax.random.key(key), PAIRS, 1.0) for key in (101, 102))

    def score(method: baselines.Method) -> list[float]:
        return list(score_by_truth(domain, method, sources, drivings, PAIRS).values())

    def along(some: Sequence[Float[np.ndarray, "_ l d"]]) -> list[float]:
        return score(baselines.linear_transfer(from_videos(some, population, config.directions.num)))

    rows = {}
    for size in [size for size in SIZES if size <= len(videos)]:
        starts = range(0, len(videos) - size + 1, size)
        rows[f"{size} videos ({len(starts)} sets)"] = [along(videos[start : start + size]) for start in starts]
    swaps = {cut: score(baselines.layer_swap(cut)) for cut in range(1, generator.num_ws)}
    rows |= {f"swap of the first {cut} layers": [both] for cut, both in swaps.items() if min(both) > 0.0}
    by_scorer = find.find_directions(config, generator, population).directions
    rows["directions of a scorer"] = [score(baselines.linear_transfer(by_scorer))]
    lines = ["| | structure R² | appearance R² |", "|---|---|---|"]
    for name, scores in rows.items():
        lines.append(f"| {name} | {' | '.join(_cell(values) for values in zip(*scores, strict=True))} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def draw(key: PRNGKeyArray, frames: int, resolution: int, domain: Domain) -> Float[np.ndarray, "t h w c"]:
    """The frames of a random face in random motion."""
    k_face, k_motion = jax.random.split(key)
    structure = AMPLITUDE * sample_loop(k_motion, frames, len(structure_names(domain)))
    face = jax.random.uniform(k_face, (1, len(appearance_names(domain))), minval=-1.0)
    factors = join(Factors(face.repeat(frames, axis=0), structure), domain)
    return np.asarray(domain.render(factors, resolution))


if __name__ == "__main__":
    command.run(main, FLAGS)
