"""Domains: the known factors of a generator's images. Installed packages register them under the generator's name.

A package registers its generator and its domain as entry points, factories without arguments:

    entry_points={
        "stylegan2_flax.generators": ["my_shapes = my_package.module:generator"],
        "disentangle_jax.domains": ["my_shapes = my_package.module:domain"],
    }
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.scorers import Factors, Named, Scorer, check_names, join, load_scorer, split
from stylegan2_flax import plugins

GROUP = "disentangle_jax.domains"

_STEPS = 6  # of Gauss-Newton, which is at rounding error by then
_STRIDES = np.array([1.0, 0.5, 0.2, 0.05], np.float32)  # the best is taken: far from the goal a full step overshoots
_RESTRAINT = 1e-2  # c


@runtime_checkable
class Domain(Named, Protocol):
    """The factors that a generator's latents stand for, and exact images of them. Factors lie in [-1, 1]."""

    def truth(self, ws: Float[Array, "*n l d"]) -> Float[Array, "*n f"]:
        """The factors that latents stand for, differentiably."""
        ...

    def render(self, factors: Float[Array, "n f"], resolution: int) -> Float[Array, "n h w c"]:
        """Exact images of factors, in [-1, 1], with `resolution` pixels per side."""
        ...

    def pose(self, ws: Float[Array, "l d"], structure: Float[Array | np.ndarray, "fs"]) -> Float[Array, "l d"]:
        """The latent with another structure and the same appearance, as nearly as there is one; see `search`."""
        ...


@dataclass(frozen=True, eq=False)
class JudgedDomain:
    """A domain with the scorer that reads its images: the ground truth and the instrument of an evaluation.

    Raises ValueError if the scorer does not read exactly the factors of the domain.
    """

    domain: Domain
    scorer: Scorer
    resolution: int

    def __post_init__(self) -> None:
        kinds = [(set(of.names), set(of.structure)) for of in (self.domain, self.scorer)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"the judge reads {', '.join(self.scorer.names)} (structure: {', '.join(self.scorer.structure)}), but "
                f"the domain's factors are {', '.join(self.domain.names)} (structure: "
                f"{', '.join(self.domain.structure)}): set evaluation.judge to a scorer of this domain"
            )

    def truth(self, ws: Float[Array, "*n l d"]) -> Factors:
        """The factors that latents stand for."""
        return split(self.domain.truth(ws), self.domain)

    def read(self, images: Float[Array, "n h w c"]) -> Factors:
        """The scorer's readings of images, in the order of the domain's factors."""
        columns = np.array([self.scorer.names.index(name) for name in self.domain.names])
        return split(_read(self.scorer, images)[:, columns], self.domain)

    def draw(self, factors: Factors) -> Float[Array, "n h w c"]:
        """The exact images of factors."""
        return self._render(join(factors, self.domain))

    def answer(self, source_ws: Float[Array, "*n l d"], driving_ws: Float[Array, "*n l d"]) -> Factors:
        """The correct result of a transfer: the source's appearance with the driving's structure."""
        return Factors(self.truth(source_ws).appearance, self.truth(driving_ws).structure)

    @cached_property
    def _render(self) -> Callable[[Float[Array, "n f"]], Float[Array, "n h w c"]]:
        return jax.jit(partial(self.domain.render, resolution=self.resolution))


def load_domain(generator: str) -> Domain | None:
    """Load the domain that is registered for a generator. Returns None if there is none.

    Raises ValueError if the factory does not return a domain.
    """
    factory = plugins.find_factory(GROUP, generator)
    if factory is None:
        return None
    domain = factory()
    if not isinstance(domain, Domain):
        raise ValueError(
            f"the domain {generator!r} is a {type(domain).__name__}: it needs names, structure, truth, render and pose"
        )
    check_names(domain, f"the domain {generator!r}")
    return domain


def load_judged_domain(generator: str, judge: str, resolution: int) -> JudgedDomain | None:
    """Load the domain of a generator with the scorer `judge`. Returns None if the generator has no domain.

    Raises:
        FileNotFoundError: the scorer's file does not exist.
        ValueError: there is no such scorer, or it does not read the domain's factors.
    """
    domain = load_domain(generator)
    return None if domain is None else JudgedDomain(domain, load_scorer(judge), resolution)


def search(
    read: Callable[[Float[Array, "l d"]], Float[Array, "f"]],
    ws: Float[Array, "l d"],
    wanted: Float[Array, "f"],
    basis: Float[Array, "d d"],
    *,
    alike: bool = True,
) -> Float[Array, "l d"]:
    """The latent near ws in which `read` finds the wanted values.

    If all layers change alike, a latent of W stays in W: it moves as the generator's population does. Else each layer
    changes by itself, by the least that does it: layers that `read` does not look at stay where they were. With the
    change basis @ v, Gauss-Newton minimises |wanted - read(ws + basis @ v)|^2 + c |v|^2 from v = 0. The small c keeps
    latents from running off where none has the wanted values; there the result comes as near as is sensible.

    Args:
        read: better nearly linear in the latent.
        ws: where to start.
        wanted: the values to find.
        basis: maps whitened coordinates, in which all changes of one length are alike, to changes of w.
        alike: whether all layers change alike.
    """
    shape = (1 if alike else ws.shape[0], ws.shape[1])

    def shifted(v: Float[Array, "v"]) -> Float[Array, "l d"]:
        return ws + v.reshape(shape) @ basis.T

    def missing(v: Float[Array, "v"]) -> Float[Array, "f"]:
        return wanted - read(shifted(v))

    def step(v: Float[Array, "v"], _: None) -> tuple[Float[Array, "v"], None]:
        slope = jax.jacrev(missing)(v)
        gram = slope @ slope.T + _RESTRAINT * jnp.eye(len(wanted))
        goal = -slope.T @ jnp.linalg.solve(gram, missing(v) - slope @ v)
        strides = v[None] + _STRIDES[:, None] * (goal - v)[None]
        costs = jax.vmap(lambda v: jnp.sum(missing(v) ** 2) + _RESTRAINT * jnp.sum(v**2))(strides)
        return strides[jnp.argmin(costs)], None

    start = jnp.zeros(shape[0] * shape[1])
    return shifted(jax.lax.scan(step, start, length=_STEPS)[0])


@jax.jit
def _read(scorer: Scorer, images: Float[Array, "n h w c"]) -> Float[Array, "n f"]:
    return scorer(images)
