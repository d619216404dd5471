"""A latent readout: factors of latents without their images, cheap enough for every step of training."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.generators import digest
from disentangle_jax.scorers import structure_columns
from stylegan2_flax.files import AnyPath

FILE = "readout.safetensors"
"""Its name in the folder of a run, or of a model."""

_ROUNDS = 3
_STRIDES = (1.0, 0.5, 0.2)  # the best is taken: far from the goal a full step overshoots


class Network(NamedTuple):
    """One hidden layer of tanh beside a linear path: x [l, d] -> z [f].

        z = sum_l x_l linear_l + tanh(sum_l layers_l * (x_l looks) + bias) out + constant

    A hidden unit looks along one direction of w, the same in all layers, and weighs each layer by itself: the layers
    share one space, and few of them decide what a picture shows. A dense layer over W+ has ten times the weights, and
    fitted to as many faces it reads far worse.
    """

    linear: Float[Array, "l d f"]
    looks: Float[Array, "d m"]
    layers: Float[Array, "l m"]
    bias: Float[Array, "m"]
    out: Float[Array, "m f"]
    constant: Float[Array, "f"]

    @staticmethod
    def shapes(num_ws: int, d: int, m: int, f: int) -> dict[str, tuple[int, ...]]:
        """The shape of each field."""
        return {
            "linear": (num_ws, d, f),
            "looks": (d, m),
            "layers": (num_ws, m),
            "bias": (m,),
            "out": (m, f),
            "constant": (f,),
        }

    def terms(self, x: Float[Array, "*n l d"]) -> tuple[Float[Array, "*n f"], Float[Array, "*n m"]]:
        """What the linear path gives, and what the hidden units see. Both are affine in x.

        The weights hold the whitening of w, large numbers that cancel each other: in full precision everywhere.
        """
        looks = jnp.matmul(x, self.looks, precision="highest")
        hidden = jnp.einsum("...lm,lm->...m", looks, self.layers, precision="highest")
        straight = jnp.einsum("...ld,ldf->...f", x, self.linear, precision="highest")
        return straight, hidden + jnp.broadcast_to(self.bias, hidden.shape)

    def output(self, straight: Float[Array, "*n f"], hidden: Float[Array, "*n m"]) -> Float[Array, "*n f"]:
        """z from both `terms`."""
        return straight + jnp.tanh(hidden) @ self.out + jnp.broadcast_to(self.constant, straight.shape)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Readout:
    """Reads factors out of latents, as normal scores: each is standard normal over the faces that it was fitted to.

    Attributes:
        network: reads them, of w - mean.
        mean: of w.
        vectors: a move of w for each factor, by one standard deviation of its linear part, which on average leaves the
            others.
        names, structure: all factors, and those of structure.
        restraint: of `move`.
        r2: of each factor, on latents that the network was not fitted to.
        generator: digest of the generator whose latents it reads.
    """

    network: Network
    mean: Float[Array, "d"]
    vectors: Float[Array, "f d"]
    names: tuple[str, ...] = field(metadata={"static": True})
    structure: tuple[str, ...] = field(metadata={"static": True})
    restraint: float = field(metadata={"static": True})
    r2: tuple[float, ...] = field(metadata={"static": True})
    generator: str = field(metadata={"static": True})

    def __call__(self, ws: Float[Array, "*n l d"]) -> Float[Array, "*n f"]:
        """The factors of latents, in the order of `names`."""
        return self.network.output(*self._terms(ws))

    def read_structure(self, ws: Float[Array, "*n l d"]) -> Float[Array, "*n k"]:
        """The factors of structure alone, in the same order."""
        return self(ws)[..., structure_columns(self)]

    def move(
        self, ws: Float[Array, "*n l d"], start: Float[Array, "*n l d"], structure: Float[Array, "*n k"]
    ) -> Float[Array, "*n l d"]:
        """Latents with the appearance of ws and this structure, near `start`.

        Moves start + x vectors, alike in all layers, where Gauss-Newton minimises |goal - z|^2 + restraint |x|^2: three
        rounds, each with the best of three step lengths. The goal of appearance is what is read of ws. The restraint
        keeps latents from running off where none has the wanted factors.

        Args:
            ws: latents whose appearance is kept.
            start: where to begin, such as ws moved along straight lines.
            structure: wanted factors of structure, in the order of `names`.
        """
        goal = self(ws).at[..., structure_columns(self)].set(structure)
        straight, hidden = self._terms(start)
        # The terms are affine in x, so latents are needed again only when x is found.
        per_straight = jnp.einsum("gd,ldf->gf", self.vectors, self.network.linear, precision="highest")
        weights = (self.vectors, self.network.looks, self.network.layers)
        per_hidden = jnp.einsum("gd,dm,lm->gm", *weights, precision="highest")
        identity = jnp.eye(len(self.vectors))

        def missing(x: Float[Array, "*n g"]) -> Float[Array, "*n f"]:
            return goal - self.network.output(straight + x @ per_straight, hidden + x @ per_hidden)

        def cost(x: Float[Array, "*n g"]) -> Float[Array, "*n"]:
            return jnp.sum(jnp.square(missing(x)), axis=-1) + self.restraint * jnp.sum(jnp.square(x), axis=-1)

        x = jnp.zeros_like(goal)
        for _ in range(_ROUNDS):
            bend = 1.0 - jnp.square(jnp.tanh(hidden + x @ per_hidden))
            slope = jnp.einsum("gm,...m,mf->...gf", per_hidden, bend, self.network.out)
            slope = slope + jnp.broadcast_to(per_straight, slope.shape)
            gram = slope @ slope.mT
            gram = gram + self.restraint * jnp.broadcast_to(identity, gram.shape)
            pull = jnp.einsum("...gf,...f->...g", slope, missing(x)) - self.restraint * x
            step = jnp.linalg.solve(gram, pull[..., None])[..., 0]
            tried = jnp.stack([x + stride * step for stride in _STRIDES])
            best = jnp.argmin(jnp.stack([cost(x) for x in tried]), axis=0)
            x = jnp.take_along_axis(tried, best[None, ..., None], axis=0)[0]
        return start + (x @ self.vectors)[..., None, :]

    def _terms(self, ws: Float[Array, "*n l d"]) -> tuple[Float[Array, "*n f"], Float[Array, "*n m"]]:
        return self.network.terms(ws - jnp.broadcast_to(self.mean, ws.shape))

    def check(self, generator: sg2.Generator) -> None:
        """Raises ValueError if it reads the latents of another generator."""
        if self.generator != (own := digest(generator)):
            raise ValueError(
                f"the latent readout is of another generator: its digest is {self.generator}, this one's is {own}; "
                "delete readout.safetensors to fit it anew, or give the generator that it was fitted for"
            )

    def save(self, path: AnyPath) -> None:
        """Write a safetensors file, whole or not at all."""
        values = {"mean": self.mean, "vectors": self.vectors, **self.network._asdict()}
        about = {
            "names": self.names,
            "structure": self.structure,
            "restraint": self.restraint,
            "generator": self.generator,
            "r2": self.r2,
        }
        arrays.save(path, {name: np.asarray(value) for name, value in values.items()}, readout=about)

    @classmethod
    def load(cls, path: AnyPath) -> "Readout":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or holds something else.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no latent readout at {path}: copy it from where the model was trained")
        values, about = arrays.load(path, "readout")
        f = len(about["names"])
        d, m, layers = (values[name].size if name in values else 0 for name in ("mean", "bias", "layers"))
        shapes = {**Network.shapes(layers // max(m, 1), d, m, f), "mean": (d,), "vectors": (f, d)}
        arrays.check(path, values, shapes, f"{f} factors")
        loaded = {name: jnp.asarray(value) for name, value in values.items()}
        return cls(
            network=Network(**{name: loaded[name] for name in Network._fields}),
            mean=loaded["mean"],
            vectors=loaded["vectors"],
            names=tuple(about["names"]),
            structure=tuple(about["structure"]),
            restraint=about["restraint"],
            r2=tuple(about["r2"]),
            generator=about["generator"],
        )
