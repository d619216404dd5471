"""`Disentangler`: a trained model with its generator, to encode, transfer, decode and render latents."""

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax import model_folder, model_sources
from disentangle_jax.batching import batch_of, render_batch
from disentangle_jax.directions import Directions
from disentangle_jax.directions.readout import Readout
from disentangle_jax.inversion import Inversion, encoders, invert
from disentangle_jax.inversion.encoders import ImageEncoder
from disentangle_jax.inversion.optimisation import Distance
from disentangle_jax.model import Autoencoder, Codes
from stylegan2_flax.files import AnyPath, local_folder, storage_path

AnyArray = Array | np.ndarray
AnyWs = Float[AnyArray, "... _l _d"]
"""Latents [..., l, d]. The methods check the sizes, with clear error messages."""


class Disentangler:
    """A trained autoencoder and the frozen generator of its latents.

    Latents are ws [..., l, d] with any leading axes. Methods are jitted, and accept NumPy arrays too.

    Attributes:
        autoencoder: the autoencoder, with averaged parameters.
        generator: the frozen StyleGAN2 generator.
        directions: the directions that moved the clips in training.
        config: the config of the training.
        readout: the latent readout that moved them there; None if none did.
        steps: how many steps it was trained for; None of an exported model.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        generator: sg2.Generator,
        directions: Directions,
        config: ConfigDict,
        readout: Readout | None = None,
        steps: int | None = None,
    ):
        self.autoencoder = autoencoder
        self.generator = generator
        self.directions = directions
        self.config = config
        self.readout = readout
        self.steps = steps

    def __repr__(self) -> str:
        sizes, generator = self.config.model, self.generator
        latents = f"W+ [{generator.num_ws}, {generator.w_dim}]"
        codes = f"appearance [{sizes.appearance_dim}], structure [{sizes.structure_dim}]"
        return f"Disentangler({latents} -> {codes}; generator {self.config.generator}, {generator.img_resolution} px)"

    @classmethod
    def load(cls, name_or_folder: str | AnyPath) -> "Disentangler":
        """Load a trained model onto the default device.

        Args:
            name_or_folder: the name of a model that an installed package registers; a training workdir (for its newest
                checkpoint) or an exported folder, on a disk or in a bucket (gs://); or the URL of an exported folder:
                hf://owner/name[@revision], https:// or another that fsspec knows. What is read is data, and none of it
                is executed.

        Raises:
            FileNotFoundError: there is no such model, or the workdir has no checkpoint yet.
            ImportError: the URL needs a package that is not installed.
            ValueError: the folder does not hold an autoencoder, does not fit its config, is too old, or its files have
                changed since they were exported.
        """
        return cls(*model_folder.read(model_sources.find(name_or_folder)))

    def export(self, folder: str | AnyPath) -> None:
        """Write the model, for `load`, with the digests of its files; see `model_folder`.

        Raises:
            ValueError: the folder is a URL other than gs://.
        """
        parts = model_folder.Parts(
            self.autoencoder, self.generator, self.directions, self.config, self.readout, self.steps
        )
        with local_folder(storage_path(folder, "folder")) as local:
            model_folder.write(parts, local)

    def encode(self, ws: AnyWs) -> Codes:
        """Encode latents into codes: appearance [..., a] and structure [..., s]."""
        return _encode(self.autoencoder, self._latents(ws, "ws"))

    def decode(self, appearance: Float[AnyArray, "*m a"], structure: Float[AnyArray, "*n s"]) -> Float[Array, "*p l d"]:
        """Decode codes, appearance [..., a] and structure [..., s], into latents. Leading axes broadcast.

        Raises:
            ValueError: the codes have wrong sizes, or their leading axes do not broadcast.
        """
        return _decode(self.autoencoder, *self._codes(appearance, structure))

    def transfer(
        self,
        source_ws: AnyWs,
        driving_ws: AnyWs,
        *,
        relative: bool = False,
        reference: int = 0,
        strength: float = 1.0,
    ) -> Float[Array, "*p l d"]:
        """Give the source the structure (expression, pose) of the driving latents.

        Leading axes broadcast: a face [l, d] driven by a clip [t, l, d] gives a clip; faces [n, 1, l, d] driven by it
        give [n, t, l, d].

        Args:
            source_ws: latents [..., l, d] that give the appearance.
            driving_ws: latents [..., l, d] that give the structure.
            relative: whether to add the motion of the driving clip [..., t, l, d], relative to its reference frame, to
                the structure of the source.
            reference: index of the reference frame along t.
            strength: factor on the change of structure: 0 keeps that of the source, values above 1 exaggerate.

        Raises:
            ValueError: shapes do not fit, `strength` is not finite, or `reference` is invalid or without `relative`.
        """
        return _transfer(self.autoencoder, *self._checked(source_ws, driving_ws, relative, reference, strength))

    def render(self, ws: AnyWs) -> Float[Array, "*n h w c"]:
        """Render latents into images in [-1, 1], in batches."""
        ws = self._latents(ws, "ws")
        flat = ws.reshape(math.prod(ws.shape[:-2]), *ws.shape[-2:])
        if len(flat) == 0:
            size = self.generator.img_resolution
            return jnp.zeros((*ws.shape[:-2], size, size, self.generator.img_channels))
        batch = batch_of(len(flat), self.generator.img_resolution)
        padded = jnp.pad(flat, ((0, -len(flat) % batch), (0, 0), (0, 0)))  # to compile once
        starts = range(0, len(padded), batch)
        images = [_synthesize(self.generator.synthesis, padded[start : start + batch]) for start in starts]
        return jnp.concatenate(images)[: len(flat)].reshape(*ws.shape[:-2], *images[0].shape[1:])

    def transfer_and_render(self, source_ws: AnyWs, driving_ws: AnyWs, **options: Any) -> Float[Array, "*p h w c"]:
        """`render(transfer(...))`, as a single compiled function if the images fit into one batch.

        Args:
            source_ws, driving_ws, options: as in `transfer`.
        """
        arguments = self._checked(source_ws, driving_ws, **options)
        *leading, _, _ = jnp.broadcast_shapes(*(ws.shape for ws in arguments[:2]))
        if not 0 < math.prod(leading) <= self._render_batch:
            return self.render(_transfer(self.autoencoder, *arguments))
        return _transfer_and_render(self.autoencoder, self.generator.synthesis, *arguments)

    def invert(
        self,
        images: Shaped[AnyArray, "..."],
        method: str = "auto",
        *,
        encoder: ImageEncoder | None = None,
        distance: Distance | None = None,
        clip: bool = False,
        before: Inversion | None = None,
        settings: ConfigDict | None = None,
    ) -> Inversion:
        """Find the latents of images; see `inversion.invert`, which has the arguments.

        Without an encoder, the one that an installed package registers for the model's generator is used.
        """
        encoder = encoder or encoders.load_for(self.config.generator)
        options = {"encoder": encoder, "distance": distance, "clip": clip, "before": before, "settings": settings}
        return invert(images, self.generator, method=method, **options)

    @property
    def _render_batch(self) -> int:
        return render_batch(self.generator.img_resolution)

    def _checked(self, source_ws, driving_ws, relative: bool = False, reference: int = 0, strength: float = 1.0):
        """Check the arguments of `transfer`, and convert them to those of `_transfer`."""
        if not math.isfinite(strength):
            raise ValueError(f"strength must be a finite number; got {strength}")
        source_ws, driving_ws = self._latents(source_ws, "source_ws"), self._latents(driving_ws, "driving_ws")
        shape = driving_ws.shape
        try:
            jnp.broadcast_shapes(source_ws.shape, shape)
        except ValueError:
            raise ValueError(
                f"the leading axes of source_ws {source_ws.shape} and driving_ws {shape} do not broadcast; "
                "a face [l, d] goes with any clip"
            ) from None
        reference = operator.index(reference)
        if not relative:
            if reference != 0:
                raise ValueError(f"reference={reference} is for relative transfer: say relative=True too")
            return source_ws, driving_ws, None, jnp.float32(strength)
        if len(shape) < 3 or not -shape[-3] <= reference < shape[-3]:
            raise ValueError(
                f"relative transfer measures motion from frame {reference} of a clip [..., t, l, d]; "
                f"driving_ws has shape {shape}"
            )
        return source_ws, driving_ws, reference % shape[-3], jnp.float32(strength)

    def _codes(self, appearance, structure) -> tuple[Float[Array, "*m a"], Float[Array, "*n s"]]:
        sizes = self.config.model
        for name, code in (("appearance", appearance), ("structure", structure)):
            if jnp.shape(code)[-1:] != (size := sizes[f"{name}_dim"],):
                raise ValueError(f"{name} must be codes [..., {size}]; got shape {jnp.shape(code)}")
        appearance, structure = jnp.asarray(appearance, jnp.float32), jnp.asarray(structure, jnp.float32)
        try:
            jnp.broadcast_shapes(appearance.shape[:-1], structure.shape[:-1])
        except ValueError:
            raise ValueError(
                f"the leading axes of appearance {appearance.shape} and structure {structure.shape} do not broadcast"
            ) from None
        return appearance, structure

    def _latents(self, ws, name: str) -> Float[Array, "*n l d"]:
        expected = (self.generator.num_ws, self.generator.w_dim)
        if jnp.shape(ws)[-2:] != expected:
            raise ValueError(
                f"{name} must be latents of W+, for this generator [..., {expected[0]}, {expected[1]}]; "
                f"got shape {jnp.shape(ws)}"
            )
        return jnp.asarray(ws, jnp.float32)


@jax.jit
def _encode(autoencoder: Autoencoder, ws: Float[Array, "*n l d"]) -> Codes:
    return autoencoder.encode(ws)


@jax.jit
def _decode(
    autoencoder: Autoencoder, appearance: Float[Array, "*m a"], structure: Float[Array, "*n s"]
) -> Float[Array, "*p l d"]:
    leading = jnp.broadcast_shapes(appearance.shape[:-1], structure.shape[:-1])
    codes = (jnp.broadcast_to(code, (*leading, code.shape[-1])) for code in (appearance, structure))
    return autoencoder.decode(*codes)


@jax.jit
def _transfer(
    autoencoder: Autoencoder,
    source_ws: Float[Array, "*m l d"],
    driving_ws: Float[Array, "*n l d"],
    reference: Int[Array, ""] | int | None,
    strength: Float[Array, ""],
) -> Float[Array, "*p l d"]:
    """Transfer relative to the frame `reference`, or absolute transfer if it is None."""
    source, driving = autoencoder.encode(source_ws), autoencoder.encode(driving_ws).structure
    leading = jnp.broadcast_shapes(source_ws.shape[:-2], driving_ws.shape[:-2])
    own, driving = (jnp.broadcast_to(code, (*leading, code.shape[-1])) for code in (source.structure, driving))
    start = own if reference is None else jnp.take(driving, jnp.array([reference]), axis=-2)
    change = driving - jnp.broadcast_to(start, driving.shape)
    return _decode(autoencoder, source.appearance, own + strength * change)


@jax.jit
def _synthesize(synthesis: sg2.SynthesisNetwork, ws: Float[Array, "b l d"]) -> Float[Array, "b h w c"]:
    return synthesis(ws)


@jax.jit
def _transfer_and_render(
    autoencoder: Autoencoder,
    synthesis: sg2.SynthesisNetwork,
    source_ws: Float[Array, "*m l d"],
    driving_ws: Float[Array, "*n l d"],
    reference: Int[Array, ""] | int | None,
    strength: Float[Array, ""],
) -> Float[Array, "*p h w c"]:
    ws = _transfer(autoencoder, source_ws, driving_ws, reference, strength)
    images = synthesis(ws.reshape(-1, *ws.shape[-2:]))
    return images.reshape(*ws.shape[:-2], *images.shape[1:])
