"""What the user calls: pictures to latents of W+, by a published network, in one pass or in ReStyle's rounds."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, Shaped

import stylegan2_flax as sg2
from disentangle_jax.inversion import pictures
from disentangle_jax.inversion.published import networks, state_dict
from stylegan2_flax.checks import check_choice

_IR_KINDS = {
    "GradualStyleEncoder": networks.GradualStyleEncoder,
    "Encoder4Editing": networks.Encoder4Editing,
    "SingleStyleCodeEncoder": networks.SingleStyleCodeEncoder,
    "BackboneEncoderUsingLastLayerIntoW": networks.SingleStyleCodeEncoder,
    "BackboneEncoder": networks.BackboneEncoder,
    "ProgressiveBackboneEncoder": networks.ProgressiveBackboneEncoder,
}
_RESNET_KINDS = {
    "ResNetBackboneEncoder": networks.ResNetBackboneEncoder,
    "ResNetProgressiveBackboneEncoder": networks.ResNetProgressiveBackboneEncoder,
}
KINDS = (*_IR_KINDS, *_RESNET_KINDS)
SINGLE_STYLE = ("SingleStyleCodeEncoder", "BackboneEncoderUsingLastLayerIntoW")
RESTYLE = (
    "BackboneEncoder",
    "ProgressiveBackboneEncoder",
    "ResNetBackboneEncoder",
    "ResNetProgressiveBackboneEncoder",
)
SIZE = (256, 256)
_MOST_LAYERS = 22  # of a generator of 4096 px; so that a wrong number does not build for ever


@runtime_checkable
class Network(Protocol):
    """What encodes pictures that already have the right size."""

    in_channels: int

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n l 512"]: ...


class Encoder(nnx.Module):
    """Pictures to latents of W+.

    Attributes:
        num_ws: the number of layers l of its latents.
        image_channels: of the pictures it takes.
        in_rounds: whether it is ReStyle's, which corrects its latents by looking at what the generator makes of them.
        size: (height, width) of the pictures that its network reads; others are resized.
        latent_avg: [l, 512], what its codes are added to; None where they are latents themselves.
    """

    def __init__(
        self,
        network: Network,
        num_ws: int,
        *,
        in_rounds: bool = False,
        size: tuple[int, int] = SIZE,
        latent_avg: Float[Array | np.ndarray, "l 512"] | None = None,
    ):
        self.network, self.num_ws, self.in_rounds, self.size = network, num_ws, in_rounds, size
        self.image_channels = network.in_channels // 2 if in_rounds else network.in_channels
        self.latent_avg = None if latent_avg is None else sg2.Buffer(jnp.asarray(latent_avg, jnp.float32))

    def __call__(
        self,
        images: Shaped[Array | np.ndarray, "..."],
        generator: sg2.Generator | None = None,
        *,
        rounds: int = 5,
    ) -> Float[Array, "n l 512"]:
        """Encode pictures.

        Args:
            images: [n, h, w, c] in [-1, 1], aligned as the network's training set was; other sizes than its own are
                resized. With ReStyle's 2 c channels, picture and reconstruction, one pass of the network is made.
            generator: the one that the encoder was trained for. ReStyle's kinds need it; for the others it is only
                checked that it takes their latents.
            rounds: of ReStyle. The first one compares the pictures with the generator's mean picture, each later one
                with what the generator makes of the latents so far; each adds its codes to these latents.

        Raises:
            ValueError: the pictures are integers or have other channels, the generator takes other latents, or
                ReStyle's rounds lack a generator or a mean latent to start from.
        """
        images = self._checked(images)
        if generator is not None:
            self.check_generator(generator)
        if images.shape[-1] != self.image_channels or not self.in_rounds:
            return _encode(self, images)
        if generator is None:
            raise ValueError(
                "ReStyle's encoders compare a picture with what the generator makes of it: call "
                "encoder(images, generator), with the generator of the same checkpoint"
            )
        if self.latent_avg is None:
            raise ValueError("this encoder has no latent_avg to start ReStyle's rounds from: load it by load_encoder")
        if rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {rounds}")
        ws = jnp.broadcast_to(self.latent_avg[...], (len(images), self.num_ws, networks.W_DIM))
        for _ in range(rounds):
            ws = _correct(self, generator.synthesis, images, ws)
        return ws

    def check_generator(self, generator: sg2.Generator) -> None:
        """Raises ValueError if the generator takes other latents, or makes pictures of other channels."""
        ours = (self.num_ws, networks.W_DIM, self.image_channels)
        theirs = (generator.num_ws, generator.w_dim, generator.img_channels)
        if ours != theirs:
            raise ValueError(
                f"this encoder is for a generator of latents [{ours[0]}, {ours[1]}] and {ours[2]} image channels, the "
                f"given one has latents [{theirs[0]}, {theirs[1]}] and {theirs[2]} channels: load the generator from "
                "the encoder's own checkpoint, by stylegan2_flax.load"
            )

    def _checked(self, images: Array | np.ndarray) -> Array:
        images = pictures.checked(images, "images", ("n", "h", "w", "c"))
        channels = (self.image_channels, self.network.in_channels)
        if images.shape[-1] not in channels or 0 in images.shape[1:]:
            wanted = " or ".join(map(str, dict.fromkeys(channels)))
            raise ValueError(f"images must be [n, h, w, {wanted}], got {list(images.shape)}")
        return images


def from_state_dict(
    arrays: Mapping[str, np.ndarray], *, encoder_type: str, num_ws: int, mode: str = "ir_se"
) -> Encoder:
    """Builds an encoder from its arrays; no latent_avg is added to its codes.

    Args:
        arrays: under the names of pSp, e4e or ReStyle (`body.0.res_layer.1.weight`), in torch's layout.
        encoder_type: the name of its class there.
        num_ws: the number of layers of the generator.
        mode: of an IR backbone: "ir", or "ir_se" with squeeze-and-excitation. A ResNet has none.

    Raises:
        ValueError: the names or shapes are not those of such an encoder, or there is no such encoder. ReStyle's kinds
            may hold further arrays, which are ignored, as in that project.
    """
    check_choice("encoder_type", encoder_type, KINDS)
    if not 1 <= num_ws <= _MOST_LAYERS:
        raise ValueError(f"num_ws must be from 1 to {_MOST_LAYERS}, got {num_ws}")
    in_rounds = encoder_type in RESTYLE

    def make():
        if encoder_type in _RESNET_KINDS:
            return _RESNET_KINDS[encoder_type](num_ws)
        channels = 6 if in_rounds else state_dict.channels_of(arrays, "input_layer.0.weight", otherwise=3)
        return _IR_KINDS[encoder_type](num_ws, channels, mode, state_dict.ir_units(arrays))

    backbone = "" if encoder_type in _RESNET_KINDS else f"{mode}, "
    what = f"{encoder_type} ({backbone}num_ws {num_ws})"
    network = state_dict.build(make, arrays, what, may_hold_more=in_rounds)
    return Encoder(network, num_ws, in_rounds=in_rounds)


@jax.jit
def _encode(encoder: Encoder, images: Float[Array, "n h w c"]) -> Float[Array, "n l d"]:
    codes = encoder.network(pictures.bilinear(images, encoder.size))
    return codes if encoder.latent_avg is None else codes + encoder.latent_avg[...][None]


@jax.jit
def _correct(
    encoder: Encoder,
    synthesis: sg2.SynthesisNetwork,
    images: Float[Array, "n h w c"],
    ws: Float[Array, "n l d"],
) -> Float[Array, "n l d"]:
    """One of ReStyle's rounds."""
    height, width = encoder.size
    square = pictures.area_average(synthesis(ws), (width, width))
    top = (width - height) // 2  # cars: their generator's square pictures hold them in the middle rows
    drawn = square[:, top : top + height]
    return ws + encoder.network(jnp.concatenate([pictures.bilinear(images, encoder.size), drawn], axis=-1))
