"""What the bundled generator was taught to draw: the factors that a latent stands for, layer by layer."""

import math
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from disentangle_jax import arrays
from disentangle_jax.faces.factors import NAMES, Factors, unstack

# Which of the ten w of a 64 px generator own which factors: the first and last layer of a group, and its factors. As in
# published face generators, coarse layers own pose and shape, middle ones expression, fine ones colours. Structure and
# appearance share most groups, so no cut between layers parts them.
GROUPS = (
    ((0, 2), ("yaw", "pitch", "roll", "face_width", "hair_length")),
    ((3, 3), ("smile", "mouth_open", "eye_size")),
    ((4, 5), ("eye_open", "brow_raise", "brow_thickness", "skin", "hair_color", "lip_color")),
    ((6, 9), ("clothing", "background")),
)
CUTS = tuple(layers[0] for layers, _ in GROUPS[1:])  # layers at which two faces cross without a factor being torn
_ENTANGLEMENT = 0.35


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Truth:
    """Factors as a fixed, mildly entangled function of a latent.

    With u = whiten (w - mean), averaged over the layers that own factor i, s_i = p_i . u, and j the next factor of i's
    group:
        factor_i = erf(s_i (1 + c s_j) / sqrt(2 (1 + c^2))),
    which is close to uniform on [-1, 1] for w of the mapping network. The product makes W curved: the direction that
    changes one factor alone is another one on each face.
    """

    mean: Float[Array, "d"]
    whiten: Float[Array, "d d"]
    owners: Float[Array, "l f"]  # columns sum to one
    partners: Float[Array, "f f"]  # a permutation: row i has its one at j
    p: Float[Array, "f d"]

    @classmethod
    def create(cls, key: PRNGKeyArray, w: Float[Array, "n d"], num_ws: int) -> "Truth":
        """Draw a truth for a mapping network, given many of its outputs."""
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
        p = p / jnp.linalg.norm(p, axis=1, keepdims=True)
        return cls(mean, whiten, jnp.asarray(owners), jnp.asarray(partners), p)

    def __call__(self, ws: Float[Array, "... l d"]) -> Factors:
        """The factors that ws stand for."""
        s = jnp.einsum("lf,...lf->...f", self.owners, self.project(ws))
        partner = jnp.einsum("fg,...g->...f", self.partners, s)
        return unstack(jax.lax.erf(s * (1.0 + _ENTANGLEMENT * partner) / math.sqrt(2.0 * (1.0 + _ENTANGLEMENT**2))))

    def project(self, ws: Float[Array, "... l d"]) -> Float[Array, "... l f"]:
        """p_i . u of every layer, before the layers are averaged and the factors entangled."""
        return jnp.einsum("fd,de,...le->...lf", self.p, self.whiten, ws - self.mean[(None,) * (ws.ndim - 1)])

    def save(self, path: Path) -> None:
        """Write the arrays as safetensors."""
        arrays.save(path, {name: np.asarray(value) for name, value in vars(self).items()}, truth=NAMES)

    @classmethod
    def load(cls, name: str | Path) -> "Truth":
        """The truth of a bundled generator ("faces64"), or a file that `save` wrote.

        Raises:
            FileNotFoundError: there is none of that name.
            ValueError: the file is damaged, or of other factors than this version's.
        """
        missing = f"no truth {str(name)!r}: give the name of a bundled generator or a file of Truth.save"
        path = arrays.asset(name, missing, "_truth.safetensors")
        values, names = arrays.load(path, "truth")
        if names != list(NAMES):
            raise ValueError(f"{path} speaks of the factors {names}, this version of {list(NAMES)}")
        return cls(**{name: jnp.asarray(value) for name, value in values.items()})
