"""The ground truth of the bundled generator: the factors that a latent stands for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from disentangle_jax import arrays
from disentangle_jax.faces.factors import NAMES, STRUCTURE, Factors, unstack

# The first and last layer of each group of factors, of the ten layers of a 64 px generator. As in published face
# generators, coarse layers control pose and shape, middle layers expression, and fine layers colors. Most groups have
# factors of structure and of appearance, so no layer swap separates the two.
GROUPS = (
    ((0, 2), ("yaw", "pitch", "roll", "face_width", "hair_length")),
    ((3, 3), ("smile", "mouth_open", "eye_size")),
    ((4, 5), ("eye_open", "brow_raise", "brow_thickness", "skin", "hair_color", "lip_color")),
    ((6, 9), ("clothing", "background")),
)
CUTS = tuple(layers[0] for layers, _ in GROUPS[1:])
"""The cuts at which layers of two faces can be mixed without mixing within a factor."""
POSE = ("yaw", "pitch", "roll")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Truth:
    """A fixed, curved function from latents to factors.

    With u = whiten (w - mean), averaged over the layers of factor i, s_i = p_i . u, and j, k the next two factors in
    the group of i:
        factor_i = erf((s_i + c_i s_j s_k) / sqrt(2 (1 + c_i^2))),
    which is nearly uniform on [-1, 1] for w of the mapping network. Because of the product, the direction in W that
    changes a single factor depends on the face, and a linear readout of w explains only a part of a factor: roughly
    1 / (1 + c_i^2) of its variance.

    Attributes:
        mean: mean of w.
        whiten: whitening matrix of w.
        owners: weight of each layer in each factor; columns sum to one.
        partners: a permutation matrix that maps i to j, and j to k.
        curvature: c of each factor.
        p: projection of each factor.
    """

    mean: Float[Array, "d"]
    whiten: Float[Array, "d d"]
    owners: Float[Array, "l f"]
    partners: Float[Array, "f f"]
    curvature: Float[Array, "f"]
    p: Float[Array, "f d"]

    @classmethod
    def create(cls, key: PRNGKeyArray, w: Float[Array, "n d"], num_ws: int, curved: Mapping[str, float]) -> "Truth":
        """Create a random truth for a mapping network.

        Args:
            key: random key of the projections.
            w: many outputs of the mapping network.
            num_ws: number of layers.
            curved: the share c^2 / (1 + c^2) of the products, for the factors of `pose`, `expression` and `appearance`.
        """
        mean = jnp.mean(w, axis=0)
        values, vectors = jnp.linalg.eigh(jnp.cov(w.T))
        whiten = (vectors / jnp.sqrt(values)[None, :]) @ vectors.T
        p = jax.random.normal(key, (len(NAMES), w.shape[1]))
        owners = np.zeros((num_ws, len(NAMES)), np.float32)
        partners = np.zeros((len(NAMES), len(NAMES)), np.float32)
        for (first, last), names in GROUPS:
            columns = [NAMES.index(name) for name in names]
            owners[first : last + 1, columns] = 1.0 / (last + 1 - first)
            partners[columns, np.roll(columns, -1)] = 1.0
        shares = np.array([curved[kind_of(name)] for name in NAMES], np.float32)
        p = p / jnp.linalg.norm(p, axis=1, keepdims=True)
        curvature = jnp.asarray(np.sqrt(shares / (1.0 - shares)))
        return cls(mean, whiten, jnp.asarray(owners), jnp.asarray(partners), curvature, p)

    def __call__(self, ws: Float[Array, "... l d"]) -> Factors:
        """The factors of latents."""
        s = jnp.einsum("lf,...lf->...f", self.owners, self.project(ws))
        partner = jnp.einsum("fg,...g->...f", self.partners, s)
        products = partner * jnp.einsum("fg,...g->...f", self.partners, partner)
        c = jnp.broadcast_to(self.curvature, s.shape)
        return unstack(jax.lax.erf((s + c * products) / jnp.sqrt(2.0 * (1.0 + c**2))))

    def project(self, ws: Float[Array, "... l d"]) -> Float[Array, "... l f"]:
        """p_i . u of every layer, before layers are averaged and factors entangled."""
        return jnp.einsum("fd,de,...le->...lf", self.p, self.whiten, ws - self.mean[(None,) * (ws.ndim - 1)])

    def save(self, path: Path) -> None:
        """Write the arrays to a safetensors file."""
        arrays.save(path, {name: np.asarray(value) for name, value in vars(self).items()}, truth=NAMES)

    @classmethod
    def load(cls, name: str | Path) -> "Truth":
        """Load the truth of a generator.

        Args:
            name: "faces64", which is bundled, or a file that `save` wrote.

        Raises:
            FileNotFoundError: there is no such truth or file.
            ValueError: the file is damaged, or has other factors than this version.
        """
        missing = f"no truth {str(name)!r}: give the name of a bundled generator or a file of Truth.save"
        path = arrays.asset(name, missing, "_truth.safetensors")
        values, names = arrays.load(path, "truth")
        if names != list(NAMES):
            raise ValueError(f"{path} has the factors {names}, this version {list(NAMES)}")
        return cls(**{name: jnp.asarray(value) for name, value in values.items()})


def kind_of(name: str) -> str:
    """The kind of a factor: "pose", "expression" or "appearance"."""
    if name in POSE:
        return "pose"
    return "expression" if name in STRUCTURE else "appearance"
