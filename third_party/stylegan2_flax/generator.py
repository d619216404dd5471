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
    """The generator: a mapping and a synthesis network. The arguments are named as in StyleGAN2-ADA.

    Args:
        z_dim: size of the random vectors z.
        c_dim: number of classes of one-hot labels; 0 for an unconditional network.
        w_dim: size of the latents w.
        img_resolution: height and width of the images in pixels, a power of two.
        img_channels: number of image channels.
        mapping_kwargs: keyword arguments of `MappingNetwork`.
        synthesis_kwargs: keyword arguments of `SynthesisNetwork`.
        rngs: random keys for the initialization.

    Raises:
        ValueError: an argument is unknown or invalid.
    """

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
        check_sizes(z_dim=z_dim)
        mapping_kwargs = checked_keywords(MappingNetwork, "mapping_kwargs", mapping_kwargs)
        synthesis_kwargs = checked_keywords(SynthesisNetwork, "synthesis_kwargs", synthesis_kwargs)
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.w_dim = w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        # As JSON, since static attributes of a module must be hashable.
        self._kwargs_json = json.dumps({"mapping_kwargs": mapping_kwargs, "synthesis_kwargs": synthesis_kwargs})
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **synthesis_kwargs, rngs=rngs)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **mapping_kwargs, rngs=rngs)

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The arguments of the constructor, as plain data."""
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
        z: Float[Array | np.ndarray, "*_b _z"],
        c: Float[Array | np.ndarray, "*_b _c"] | None = None,
        truncation_psi: Number | Float[Array, ""] = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: str = "const",
        key: PRNGKeyArray | None = None,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Map z [b, z_dim] and labels c [b, c_dim] to images [b, h, w, c] in about [-1, 1].

        For the arguments see `MappingNetwork.__call__` and `SynthesisNetwork.__call__`.
        """
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(ws, noise_mode, key, dtype, remat)
