"""The mapping network: random vectors and labels -> latents."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from jaxtyping import Float

from stylegan2_flax import ops
from stylegan2_flax.checks import check_positive, check_sizes, checked_array
from stylegan2_flax.layers import Buffer, FullyConnectedLayer
from stylegan2_flax.resample import Number

_MAX_LAYERS = 64  # a bound for damaged files
_INPUT_NORMS = ("separate", "joint")


class MappingNetwork(nnx.Module):
    """Maps z, and a label c if the network is conditional, to w, repeated for every layer of the synthesis network.

    A conditional discriminator embeds its labels with one too: there z_dim is 0 and num_ws None.

    Args:
        z_dim: size of z; 0 for labels only.
        c_dim: number of classes; 0 for an unconditional network.
        w_dim: size of w.
        num_ws: how often w is repeated; None returns w [b, d].
        num_layers: number of fully connected layers.
        embed_features: size of the embedded label; None for w_dim.
        layer_features: width of the hidden layers; None for w_dim.
        activation: of all layers; see `ops.bias_act`.
        lr_multiplier: learning rate multiplier of all layers.
        w_avg_beta: decay of the mean latent in `update_w_avg`; None for no mean latent, and so no truncation.
        input_norm: "separate" normalizes z and the embedded label separately, as StyleGAN2-ADA does; "joint" normalizes
            their concatenation, as the original StyleGAN2 does. Without labels both are the same.
        rngs: random keys for the initialization.

    Raises:
        ValueError: an argument is invalid.
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
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.w_dim = w_dim
        self.num_ws = num_ws
        self.num_layers = num_layers
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
        z: Float[Array | np.ndarray, "*_b _z"] | None,
        c: Float[Array | np.ndarray, "*_b _c"] | None = None,
        truncation_psi: Number | Float[Array, ""] = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Array, "b l d"] | Float[Array, "b d"]:
        """Map z [b, z_dim] and labels c [b, c_dim] to ws [b, num_ws, w_dim], or to w [b, w_dim] if num_ws is None.

        Args:
            z: random vectors; None if z_dim is 0.
            c: one-hot labels; None if the network is unconditional.
            truncation_psi: interpolates between the mean latent (0) and the latents (1).
            truncation_cutoff: number of layers to truncate; None for all.

        Raises:
            ValueError: an input is missing or has a wrong shape, or there is no mean latent to truncate to.
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
        """Update the mean latent: w_avg = beta * w_avg + (1 - beta) * mean of ws over the batch, without a gradient.

        Args:
            ws: outputs of this network without truncation; the first layer is used.

        Raises:
            ValueError: the network has no mean latent.
        """
        if self.w_avg_beta is None:
            raise ValueError("this mapping network has no mean latent (w_avg_beta is None)")
        mean = jnp.mean(ws.reshape(ws.shape[0], -1, self.w_dim)[:, 0], axis=0)
        self.w_avg[...] += (1 - self.w_avg_beta) * (lax.stop_gradient(mean) - self.w_avg[...])

    def _input(self, z: Array | np.ndarray | None, c: Array | np.ndarray | None) -> Array:
        """z and the embedded label, normalized and concatenated."""
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
