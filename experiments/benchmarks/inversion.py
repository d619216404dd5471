"""How well each way of inversion recovers pictures, how well they can then be driven, and how long it takes.

    python experiments/benchmarks/inversion.py                          the bundled generator; half an hour on two cores
    python experiments/benchmarks/inversion.py --num_images=8 --methods=encoder,auto          a minute
    python experiments/benchmarks/inversion.py --methods=encoder,auto --model=faces64         and driven by the model

Pictures are samples of the generator, whose latents exist, and, where its domain is known, exact pictures of uniform
factors that it has never drawn. Columns: PSNR in dB, mean and standard deviation over pictures; the share of samples
above 35 dB; R^2 of the structure and of the appearance factors that a judge reads in the inversions of exact pictures;
the latents' distance to the mean in standard deviations; with a model, the PSNR to the exact answer when each picture
is driven by the next one; seconds in all, with compilation. The last rows tell of what is not inverted: exact pictures
themselves, and the samples' own latents.
"""

import itertools
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches, render_batch
from disentangle_jax.configs import inversion as defaults
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain, load_judged_domain
from disentangle_jax.generators import digest, load_generator
from disentangle_jax.inversion import METHODS, encoders, invert
from disentangle_jax.inversion.distances import load_distance
from disentangle_jax.latents import sample_ws
from disentangle_jax.metrics import psnr, r2
from disentangle_jax.scorers import Factors, split
from stylegan2_flax import command

FLAGS = flags.FlagValues()
GENERATOR = flags.DEFINE_string("generator", "faces64", "a generator's name or file", flag_values=FLAGS)
JUDGE = flags.DEFINE_string("judge", "judge_b", "a scorer of the generator's domain", flag_values=FLAGS)
ENCODER = flags.DEFINE_string("encoder", None, "see invert (if not said: the registered one)", flag_values=FLAGS)
MODEL = flags.DEFINE_string("model", None, "drive what is inverted by this model; see transfer", flag_values=FLAGS)
METHODS_ = flags.DEFINE_list("methods", list(METHODS), "methods of inversion", flag_values=FLAGS)
DISTANCES = flags.DEFINE_list("distances", ["none"], "what optimisation compares; see invert", flag_values=FLAGS)
STEPS = flags.DEFINE_integer("steps", None, "of optimisation (if not said: the config's)", 1, flag_values=FLAGS)
NUM_IMAGES = flags.DEFINE_integer("num_images", 32, "of each kind", 2, flag_values=FLAGS)
SEED = flags.DEFINE_integer("seed", 123, "of the pictures", 0, flag_values=FLAGS)
flags.register_validator(
    "methods", lambda methods: set(methods) <= set(METHODS), f"must be among {', '.join(METHODS)}", flag_values=FLAGS
)

_GOOD = 35.0  # dB

Latents = Float[Array | np.ndarray, "n l d"]


class Pictures(NamedTuple):
    """Pictures, and what is known of them."""

    images: Float[np.ndarray, "n h w c"]
    ws: Latents | None  # of samples
    factors: Factors | None  # where there is a domain


def main() -> None:
    generator = load_generator(GENERATOR.value)
    encoder = encoders.load(ENCODER.value, generator) if ENCODER.value else encoders.load_for(GENERATOR.value)
    judged = load_judged_domain(GENERATOR.value, JUDGE.value, generator.img_resolution)
    model = Disentangler.load(MODEL.value) if MODEL.value else None
    if model is not None and digest(model.generator) != digest(generator):
        raise ValueError(f"--model={MODEL.value} is of another generator than --generator={GENERATOR.value}")
    pictures = draw_pictures(generator, judged, NUM_IMAGES.value, SEED.value)
    settings = defaults.get_config()
    if STEPS.value is not None:
        settings.optimise.steps = settings.refine.steps = STEPS.value  # the latter from an encoder's latents
    print(row("pictures", "method", "distance", "PSNR", ">35 dB", "R2 s", "R2 a", "far", "driven", "s"))
    for distance, kind, method in itertools.product(DISTANCES.value, pictures, METHODS_.value):
        if method == "encoder" and (encoder is None or distance != DISTANCES.value[0]):
            continue
        start = time.perf_counter()
        options = {"method": method, "encoder": encoder, "distance": load_distance(distance), "settings": settings}
        found = invert(pictures[kind].images, generator, **options)
        seconds = time.perf_counter() - start
        quality = f"{found.psnr.mean():.1f} ± {found.psnr.std():.1f}", f"{np.mean(found.psnr >= _GOOD):.2f}"
        read = agreement(judged, found.images, pictures[kind])
        answer, far = driven(model, judged, found.ws, pictures[kind]), f"{found.deviations.mean():.2f}"
        print(row(kind, method, distance, *quality, *read, far, answer, f"{seconds:.0f}"), flush=True)
    for kind, of_kind in pictures.items():
        read, answer = agreement(judged, of_kind.images, of_kind), driven(model, judged, of_kind.ws, of_kind)
        if any((*read, answer)):
            print(row(kind, "as they are", "", "", "", *read, "", answer, ""))


def draw_pictures(generator: sg2.Generator, judged: JudgedDomain | None, n: int, seed: int) -> dict[str, Pictures]:
    """Samples of the generator, and with a domain exact pictures."""
    k_ws, k_factors = jax.random.split(jax.random.key(seed))
    draw = partial(jax.jit(lambda synthesis, ws: synthesis(ws)), generator.synthesis)
    ws = sample_ws(generator.mapping, k_ws, n, truncation_psi=1.0)
    samples = in_batches(draw, render_batch(generator.img_resolution), ws)
    if judged is None:
        return {"samples": Pictures(samples, ws, None)}
    values = jax.random.uniform(k_factors, (n, len(judged.domain.names)), minval=-1.0, maxval=1.0)
    factors = split(values, judged.domain)
    exact = Pictures(np.asarray(judged.draw(factors)), None, factors)
    return {"samples": Pictures(samples, ws, judged.truth(ws)), "exact": exact}


def row(kind: str, method: str, distance: str, *cells: str) -> str:
    """A row of the table."""
    widths = (15, 8, 7, 7, 6, 8, 7)
    return f"{kind:<10}{method:<12}{distance:<10}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))


def driven(model: Disentangler | None, judged: JudgedDomain | None, ws: Latents | None, pictures: Pictures) -> str:
    """PSNR to the exact answer where each picture, of these latents, takes the structure of the next one."""
    if model is None or judged is None or ws is None or pictures.factors is None:
        return ""
    codes, (appearance, structure) = model.encode(ws), pictures.factors
    results = model.render(model.decode(codes.appearance, jnp.roll(codes.structure, -1, axis=0)))
    answers = judged.draw(Factors(appearance, jnp.roll(structure, -1, axis=0)))
    return f"{psnr(results, answers).mean():.1f}"


def agreement(judged: JudgedDomain | None, images: Float[np.ndarray, "n h w c"], pictures: Pictures) -> tuple[str, str]:
    """Mean R^2 of the structure and of the appearance factors that the judge reads, where pictures are exact."""
    if judged is None or pictures.ws is not None:
        return "", ""
    read = judged.read(jnp.asarray(images))
    structure, appearance = (
        r2(getattr(read, kind), getattr(pictures.factors, kind)).mean() for kind in ("structure", "appearance")
    )
    return f"{structure:.2f}", f"{appearance:.2f}"


if __name__ == "__main__":
    command.run(main, FLAGS)
