"""How coefficients [t, k] move: pure functions of one key, every entry of mean 0 and variance 1 over clips.

All families keep one time scale, tau, in frames. Calibration is exact, at every time and for any tau: by the choice of
the start, or by dividing by what the weights of a sum of independent draws come to.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


def sinusoid(key: PRNGKeyArray, t: int, k: int, tau: float) -> Float[Array, "t k"]:
    """A sin(2 pi f i + phase), with a period between tau and four tau.

    The amplitude follows Rayleigh's distribution and the phase is uniform, so that each entry is standard normal.
    """
    k_amplitude, k_frequency, k_phase = jax.random.split(key, 3)
    amplitude = jax.random.rayleigh(k_amplitude, 1.0, (1, k))
    frequency = jax.random.uniform(k_frequency, (1, k), minval=0.25, maxval=1.0) / tau
    phase = jax.random.uniform(k_phase, (1, k), maxval=2.0 * math.pi)
    frames = jnp.arange(t, dtype=jnp.float32)[:, None]
    return amplitude * jnp.sin(2.0 * math.pi * frequency * frames + phase)


def random_walk(key: PRNGKeyArray, t: int, k: int, tau: float) -> Float[Array, "t k"]:
    """A Gaussian walk reflected at +-sqrt(3): uniform there at the start, and so at every time.

    A walk of steps s between walls 2 sqrt(3) apart forgets its place as exp(-dt pi^2 s^2 / 24), its slowest mode; s
    makes that exp(-dt / tau).
    """
    bound, step = math.sqrt(3.0), math.sqrt(24.0 / tau) / math.pi
    k_start, k_steps = jax.random.split(key)
    start = jax.random.uniform(k_start, (1, k), minval=-bound, maxval=bound)
    steps = step * jax.random.normal(k_steps, (t, k)).at[0].set(0.0)
    free = start + jnp.cumsum(steps, axis=0)
    return jnp.abs((free - bound) % (4.0 * bound) - 2.0 * bound) - bound  # the triangle wave that folds the line


def ornstein_uhlenbeck(key: PRNGKeyArray, t: int, k: int, tau: float) -> Float[Array, "t k"]:
    """x[i + 1] = r x[i] + sqrt(1 - r^2) n[i] with r = exp(-1 / tau), from a standard normal start.

    The Gaussian process of autocorrelation exp(-dt / tau), read at whole frames (Uhlenbeck and Ornstein 1930).
    """
    kept = math.exp(-1.0 / tau)
    draws = jax.random.normal(key, (t, k))

    def advance(place: Float[Array, "k"], draw: Float[Array, "k"]) -> tuple[Float[Array, "k"], Float[Array, "k"]]:
        place = kept * place + math.sqrt(1.0 - kept**2) * draw
        return place, place

    return jnp.concatenate([draws[:1], jax.lax.scan(advance, draws[0], draws[1:])[1]])


def spline(key: PRNGKeyArray, t: int, k: int, tau: float) -> Float[Array, "t k"]:
    """A smooth curve through standard normal keyframes, tau frames apart, the first of them at frame 0."""
    keyframes = jax.random.normal(key, (math.floor((t - 1) / tau) + 4, k))
    return through(keyframes, np.arange(t) / tau)


def through(keyframes: Float[Array, "m k"], times: Float[np.ndarray, "t"]) -> Float[Array, "t k"]:
    """The curve that passes keyframe i + 1 at time i: cubic pieces of continuous slope (Catmull and Rom 1974).

    Between keyframes a weighted sum of independent values has less than their variance. Dividing by the root of the sum
    of the squared weights, which is 1 at the keyframes, gives it back and leaves the curve as smooth.

    Args:
        keyframes: one more at the front, and two more at the end, than are passed through.
        times: within [0, m - 3).
    """
    piece = np.floor(times).astype(int)
    u = (times - piece)[:, None]
    cubics = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2  # of 1, u, u^2, u^3
    weights = u ** np.arange(4)[None] @ cubics
    weights = jnp.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True), jnp.float32)
    return sum((weights[:, i, None] * keyframes[piece + i] for i in range(4)), jnp.zeros((len(times), 1)))


def pulses(key: PRNGKeyArray, t: int, k: int, tau: float) -> Float[Array, "t k"]:
    """Rest, and now and then a short excursion to one side, as of a blink.

    Sum over frames j of b[j] h(i - j), where b[j] is 1 with probability q = min(1, 1 / tau) / 2, else 0, and h a raised
    cosine, 3 tau / 4 frames wide. Its mean is q sum h and its variance q (1 - q) sum h^2 (Campbell's theorem for
    Bernoulli draws), by which it is brought to 0 and 1. Half of the directions pulse downwards.
    """
    k_starts, k_side = jax.random.split(key)
    half = 0.375 * tau
    reach = max(math.ceil(half) - 1, 0)
    shape = np.cos(0.5 * math.pi * np.arange(-reach, reach + 1) / half) ** 2
    chance = 0.5 * min(1.0, 1.0 / tau)
    starts = jax.random.bernoulli(k_starts, chance, (t + 2 * reach, k)).astype(jnp.float32)
    path = sum((float(h) * starts[i : i + t] for i, h in enumerate(shape)), jnp.zeros((t, k)))
    deviation = math.sqrt(chance * (1.0 - chance) * float(np.sum(shape**2)))
    return jax.random.rademacher(k_side, (1, k), jnp.float32) * (path - chance * float(shape.sum())) / deviation


def iid(key: PRNGKeyArray, t: int, k: int, tau: float) -> Float[Array, "t k"]:
    """Standard normal draws, each frame on its own: no motion, only poses."""
    return jax.random.normal(key, (t, k))


Family = Callable[[PRNGKeyArray, int, int, float], Float[Array, "t k"]]
"""(key, frames t, directions k, tau) -> a path for each direction."""

FAMILIES: dict[str, Family] = {
    family.__name__: family for family in (sinusoid, random_walk, ornstein_uhlenbeck, spline, pulses, iid)
}


def checked_families(names: str | Sequence[str]) -> tuple[str, ...]:
    """The names of families, also given as one text, separated by commas: "sinusoid,spline".

    Raises ValueError if there is no such family, or no name at all.
    """
    parts = names.split(",") if isinstance(names, str) else names
    families = tuple(name.strip() for name in parts if name.strip())
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        wrong = f"unknown trajectory {', '.join(unknown)}" if unknown else "clips.trajectories is empty"
        raise ValueError(f"{wrong}: choose from {', '.join(FAMILIES)}")
    return families


def mixture(key: PRNGKeyArray, t: int, k: int, families: tuple[str, ...], tau: float) -> Float[Array, "t k"]:
    """One of the families, drawn anew for every direction. Raises ValueError if there is no such family."""
    families = checked_families(families)
    k_choice, k_paths = jax.random.split(key)
    paths = jnp.stack([FAMILIES[name](jax.random.fold_in(k_paths, i), t, k, tau) for i, name in enumerate(families)])
    choice = jax.random.randint(k_choice, (1, 1, k), 0, len(families))
    return jnp.take_along_axis(paths, choice, axis=0)[0]
