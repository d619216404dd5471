"""How well each way of inversion recovers pictures, and how long it takes.

    python experiments/benchmarks/inversion.py                          the bundled generator; half an hour on two cores
    python experiments/benchmarks/inversion.py --num_images=8 --methods=encoder,auto          a minute

Pictures are samples of the generator, whose latents exist, and, where its domain is known, exact pictures of uniform
factors that it has never drawn. Columns: PSNR in dB, mean and standard deviation over pictures; the share of samples
above 35 dB; R^2 of the structure and of the appearance factors that a judge reads in the inversions of exact pictures
(the last row has what it reads in the exact pictures themselves); the latents' distance to the mean in standard
deviations; seconds in all, with compilation.
"""

import itertools
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Float

import stylegan2_flax as sg2
from disentangle_jax.configs import inversion as defaults
from disentangle_jax.domains import JudgedDomain, load_judged_domain
from disentangle_jax.generators import load_generator
from disentangle_jax.inversion import METHODS, Inversion, encoders, invert
from disentangle_jax.inversion.distances import load_distance
from disentangle_jax.latents import sample_ws
from disentangle_jax.scorers import Factors, split
from disentangle_jax.scores import in_batches, r2, render_batch
from stylegan2_flax import command

FLAGS = flags.FlagValues()
GENERATOR = flags.DEFINE_string("generator", "faces64", "a generator's name or file", flag_values=FLAGS)
JUDGE = flags.DEFINE_string("judge", "judge_b", "a scorer of the generator's domain", flag_values=FLAGS)
ENCODER = flags.DEFINE_string("encoder", None, "see invert (if not said: the registered one)", flag_values=FLAGS)
METHODS_ = flags.DEFINE_list("methods", list(METHODS), "methods of inversion", flag_values=FLAGS)
DISTANCES = flags.DEFINE_list("distances", ["none"], "what optimisation compares; see invert", flag_values=FLAGS)
STEPS = flags.DEFINE_integer("steps", None, "of optimisation (if not said: the config's)", 1, flag_values=FLAGS)
NUM_IMAGES = flags.DEFINE_integer("num_images", 32, "of each kind", 2, flag_values=FLAGS)
SEED = flags.DEFINE_integer("seed", 123, "of the pictures", 0, flag_values=FLAGS)
flags.register_validator(
    "methods", lambda methods: set(methods) <= set(METHODS), f"must be among {', '.join(METHODS)}", flag_values=FLAGS
)

_GOOD = 35.0  # dB


def main() -> None:
    generator = load_generator(GENERATOR.value)
    encoder = encoders.load(ENCODER.value, generator) if ENCODER.value else encoders.load_for(GENERATOR.value)
    judged = load_judged_domain(GENERATOR.value, JUDGE.value, generator.img_resolution)
    pictures, factors = draw_pictures(generator, judged, NUM_IMAGES.value, SEED.value)
    settings = defaults.get_config()
    if STEPS.value is not None:
        settings.optimise.steps = STEPS.value
    titles = ("PSNR", 15), (">35 dB", 8), ("R2 s", 7), ("R2 a", 7), ("far", 6), ("s", 7)
    print(f"{'pictures':<10}{'method':<10}{'distance':<10}" + "".join(f"{title:>{width}}" for title, width in titles))
    for distance, kind, method in itertools.product(DISTANCES.value, pictures, METHODS_.value):
        if method == "encoder" and (encoder is None or distance != DISTANCES.value[0]):
            continue
        start = time.perf_counter()
        options = {"method": method, "encoder": encoder, "distance": load_distance(distance), "settings": settings}
        found = invert(pictures[kind], generator, **options)
        seconds = time.perf_counter() - start
        read = judged.read(jnp.asarray(found.images)) if judged and kind == "exact" else None
        print(row(kind, method, distance, found, seconds, read, factors), flush=True)
    if judged is not None and factors is not None:
        structure, appearance = _agreement(judged.read(jnp.asarray(pictures["exact"])), factors)
        print(f"{'exact':<10}{'as they are':<20}{'':>23}{structure:7.2f}{appearance:7.2f}")


def draw_pictures(
    generator: sg2.Generator, judged: JudgedDomain | None, n: int, seed: int
) -> tuple[dict[str, Float[np.ndarray, "n h w c"]], Factors | None]:
    """Samples of the generator, and with a domain exact pictures and their factors."""
    k_ws, k_factors = jax.random.split(jax.random.key(seed))
    draw = partial(jax.jit(lambda synthesis, ws: synthesis(ws)), generator.synthesis)
    ws = sample_ws(generator.mapping, k_ws, n, truncation_psi=1.0)
    samples = in_batches(draw, render_batch(generator.img_resolution), ws)
    if judged is None:
        return {"samples": samples}, None
    values = jax.random.uniform(k_factors, (n, len(judged.domain.names)), minval=-1.0, maxval=1.0)
    factors = split(values, judged.domain)
    return {"samples": samples, "exact": np.asarray(judged.draw(factors))}, factors


def row(
    kind: str,
    method: str,
    distance: str,
    found: Inversion,
    seconds: float,
    read: Factors | None,
    factors: Factors | None,
) -> str:
    """A row of the table; R^2 where the inversions were read."""
    agreement = "".join(f"{x:7.2f}" for x in _agreement(read, factors)) if read and factors else " " * 14
    psnr = f"{found.psnr.mean():.1f} ± {found.psnr.std():.1f}"
    good, far = np.mean(found.psnr >= _GOOD), found.deviations.mean()
    return f"{kind:<10}{method:<10}{distance:<10}{psnr:>15}{good:8.2f}{agreement}{far:6.2f}{seconds:7.0f}"


def _agreement(read: Factors, factors: Factors) -> tuple[float, float]:
    """Mean R^2 of the structure and of the appearance factors."""
    structure, appearance = (r2(getattr(read, kind), getattr(factors, kind)) for kind in ("structure", "appearance"))
    return float(structure.mean()), float(appearance.mean())


if __name__ == "__main__":
    command.run(main, FLAGS)
