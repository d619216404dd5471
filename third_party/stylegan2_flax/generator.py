"""The generator of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) as a Flax NNX module."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, PRNGKeyArray

from stylegan2_flax.checks import check_sizes, checked_keywords
from stylegan2_flax.mapping import MappingNetwork
from stylegan2_flax.resample import Number
from stylegan2_flax.synthesis import SynthesisNetwork


class Generator(nnx.Module):
    """Mapping and synthesis; the arguments are those of the ADA constructors, under the same names."""

    kind = "generator"

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 1024,
        img_channels: int = 3,
        mapping_kwargs: dict[str, Any] | None = None,
        synthesis_kwargs: dict[str, Any] | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        """z_dim, c_dim, w_dim: sizes of random vectors, one-hot labels (0: unconditional) and latents.

        mapping_kwargs, synthesis_kwargs: the keyword arguments of `MappingNetwork` and `SynthesisNetwork`; others are
        refused.
        """
        check_sizes(z_dim=z_dim)
        mapping_kwargs = checked_keywords(MappingNetwork, "mapping_kwargs", mapping_kwargs)
        synthesis_kwargs = checked_keywords(SynthesisNetwork, "synthesis_kwargs", synthesis_kwargs)
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        # As text: a module's static attributes must be hashable.
        self._kwargs_json = json.dumps({"mapping_kwargs": mapping_kwargs, "synthesis_kwargs": synthesis_kwargs})
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **synthesis_kwargs, rngs=rngs)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **mapping_kwargs, rngs=rngs)

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The arguments that build this generator anew; plain data."""
        return {
            "z_dim": self.z_dim,
            "c_dim": self.c_dim,
            "w_dim": self.w_dim,
            "img_resolution": self.img_resolution,
            "img_channels": self.img_channels,
            **json.loads(self._kwargs_json),
        }

    def __call__(
        self,
        z: Float[Array | np.ndarray, "..."],
        c: Float[Array | np.ndarray, "..."] | None = None,
        truncation_psi: Number | Float[Array, ""] = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
    ) -> Float[Array, "b h w c"]:
        """z [b, z_dim], c [b, c_dim] -> images [b, h, w, c]: `mapping`, then `synthesis`."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(ws, noise_mode, key, dtype, remat)
