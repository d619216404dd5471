"""The mapping network: random vectors and labels to latents."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from jaxtyping import Float

from stylegan2_flax import ops
from stylegan2_flax.checks import check_positive, check_sizes, checked_array
from stylegan2_flax.layers import Buffer, FullyConnectedLayer
from stylegan2_flax.resample import Number

_MAX_LAYERS = 64  # so that a damaged file does not build for ever
_INPUT_NORMS = ("separate", "joint")


class MappingNetwork(nnx.Module):
    """z, and a label c of a conditional network -> w, repeated for every layer of the synthesis network.

    The discriminator has one too, for labels only: z_dim is 0, num_ws None, and w is not repeated.
    """

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        *,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        lr_multiplier: Number = 0.01,
        w_avg_beta: Number | None = 0.995,
        input_norm: str = "separate",
        rngs: nnx.Rngs,
    ):
        """w_avg_beta: how slowly `update_w_avg` moves the mean latent; None leaves it, and truncation, out.

        input_norm: "separate" normalises z and the embedded label each alone, as ADA does; "joint" both together, as
        the original StyleGAN2 does. Without labels they are the same.
        """
        embed_features = w_dim if embed_features is None else embed_features
        hidden = w_dim if layer_features is None else layer_features
        check_sizes(0, z_dim=z_dim, c_dim=c_dim)
        check_sizes(1, w_dim=w_dim, embed_features=embed_features, layer_features=hidden)
        widths = [z_dim + (embed_features if c_dim > 0 else 0)]
        if widths[0] == 0:
            raise ValueError("the mapping network has no input: give it z_dim or c_dim")
        if not 0 <= num_layers <= _MAX_LAYERS:
            raise ValueError(f"num_layers must be from 0 to {_MAX_LAYERS}, got {num_layers}")
        if num_layers == 0 and widths[0] != w_dim:
            raise ValueError(f"num_layers 0 needs an input as wide as w_dim, {w_dim}, but it has {widths[0]} features")
        check_positive(lr_multiplier=lr_multiplier, w_avg_beta=w_avg_beta)
        if input_norm not in _INPUT_NORMS:
            raise ValueError(f"input_norm must be one of {', '.join(_INPUT_NORMS)}, got {input_norm!r}")
        ops.activation_gain(activation)
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, c_dim, w_dim, num_ws, num_layers
        self.w_avg_beta, self.input_norm = w_avg_beta, input_norm
        if c_dim > 0:
            self.embed = FullyConnectedLayer(c_dim, embed_features, rngs=rngs)
        widths += [*[hidden] * (num_layers - 1), w_dim]
        for i in range(num_layers):
            layer = FullyConnectedLayer(
                widths[i], widths[i + 1], activation=activation, lr_multiplier=lr_multiplier, rngs=rngs
            )
            setattr(self, f"fc{i}", layer)
        if w_avg_beta is not None:
            self.w_avg = Buffer(jnp.zeros((w_dim,)))

    def __call__(
        self,
        z: Float[Array | np.ndarray, "..."] | None,
        c: Float[Array | np.ndarray, "..."] | None = None,
        truncation_psi: Number | Float[Array, ""] = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Array, "b l d"] | Float[Array, "b d"]:
        """z [b, z_dim], c [b, c_dim] -> ws [b, num_ws, w_dim], or w [b, w_dim] of a network without num_ws.

        truncation_psi pulls the first truncation_cutoff layers (None: all) towards the mean latent w_avg: 1 leaves them
        as they are, 0 gives the mean.
        """
        x = self._input(z, c)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        if self.num_ws is None:
            return x
        ws = jnp.broadcast_to(x[:, None, :], (x.shape[0], self.num_ws, self.w_dim))
        if not isinstance(truncation_psi, Array):
            truncation_psi = float(truncation_psi)
            if truncation_psi == 1:
                return ws
        if self.w_avg_beta is None:
            raise ValueError("this mapping network has no mean latent (w_avg_beta is None): truncation_psi must be 1")
        w_avg = self.w_avg[...][None, None, :]
        truncated = w_avg + truncation_psi * (ws - w_avg)
        if truncation_cutoff is None:
            return truncated
        return jnp.concatenate([truncated[:, :truncation_cutoff], ws[:, truncation_cutoff:]], axis=1)

    def update_w_avg(self, ws: Float[Array, "b l d"] | Float[Array, "b d"]) -> None:
        """Moves the mean latent to beta * w_avg + (1 - beta) * mean of these latents over b, without a gradient.

        ws: what this network made without truncation; their first layer counts. Training does it once in every step.
        """
        if self.w_avg_beta is None:
            raise ValueError("this mapping network has no mean latent (w_avg_beta is None)")
        mean = jnp.mean(ws.reshape(ws.shape[0], -1, self.w_dim)[:, 0], axis=0)
        self.w_avg[...] += (1 - self.w_avg_beta) * (lax.stop_gradient(mean) - self.w_avg[...])

    def _input(self, z: Array | np.ndarray | None, c: Array | np.ndarray | None) -> Array:
        """z and the embedded label side by side, normalised as `input_norm` says."""
        parts = []
        if self.z_dim > 0:
            if z is None:
                raise ValueError(f"this network needs z [b, {self.z_dim}]")
            parts.append(jnp.asarray(checked_array(z, "z", ("b", self.z_dim))))
        batch = parts[0].shape[0] if parts else "b"
        if self.c_dim > 0:
            if c is None:
                raise ValueError(f"this network is conditional: give labels c [b, {self.c_dim}]")
            parts.append(self.embed(checked_array(c, "c", (batch, self.c_dim))))
        elif c is not None:
            checked_array(c, "c", (batch, 0))
        if self.input_norm == "joint":
            return ops.normalize_2nd_moment(jnp.concatenate(parts, axis=1))
        return jnp.concatenate([ops.normalize_2nd_moment(part) for part in parts], axis=1)
