"""What an encoder is trained for: distances between samples and what it makes of their pictures."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.inversion.encoder_network import EncoderNetwork
from disentangle_jax.inversion.encoder_samples import Samples, style_variances
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.inversion.optimisation import Distance, as_pytree
from disentangle_jax.inversion.pictures import area_average


class Frozen(NamedTuple):
    """What does not change: networks, the space of w, and the variances of styles. An argument of the compiled step."""

    generator: sg2.Generator
    distance: Distance | None
    space: LatentSpace
    style_variances: dict[str, Float[Array, ""]]

    @classmethod
    def of(cls, generator: sg2.Generator, distance: Distance | None) -> "Frozen":
        """With the measured space of the generator's latents."""
        space = LatentSpace.of(generator.mapping)
        return cls(generator, as_pytree(distance), space, style_variances(generator.synthesis, space))


def loss_terms(
    encoder: EncoderNetwork, frozen: Frozen, samples: Samples, seen: Float[Array, "n s s c"], options: ConfigDict
) -> dict[str, Float[Array, ""]]:
    """The distances between samples and what an encoder makes of their degraded pictures, by name.

    latents: mean squared difference of whitened latents.
    styles: mean squared difference of the styles that the layers make of them, relative to the styles' variance. What
        layers ignore in a latent, and no picture shows, does not count.
    pixels: mean squared difference of the pictures, at the size that the encoder reads and at halves of it, averaged.
    distance: a perceptual distance of the pictures, at the generator's resolution, averaged.

    The first two cost little and are taken of every sample. The others go through the generator, and compare with the
    picture before it was degraded.

    Args:
        encoder: the encoder.
        frozen: what does not change.
        samples: the samples.
        seen: their degraded pictures.
        options: `weights` of the terms, of which zeros are not computed; `draw_every`, one of how many samples is drawn
            by the generator again; `scales`, the number of sizes at which pixels are compared.
    """
    synthesis, whiten = frozen.generator.synthesis, frozen.space.whiten
    ws = encoder.latents(encoder.codes(seen))
    found, true = synthesis.styles(ws), synthesis.styles(samples.ws)
    ratios = [jnp.mean((found[name] - true[name]) ** 2) / variance for name, variance in frozen.style_variances.items()]
    terms = {
        "latents": jnp.mean((whiten(ws) - whiten(samples.ws)) ** 2),
        "styles": jnp.mean(jnp.stack(ratios)),
    }
    if options.weights.pixels == 0 and options.weights.distance == 0:
        return terms
    drawn = synthesis(ws[:: options.draw_every])
    wanted = samples.images[:: options.draw_every]
    if options.weights.pixels > 0:
        terms["pixels"] = _pixels(encoder.resize(drawn), encoder.resize(wanted), options.scales)
    if options.weights.distance > 0 and frozen.distance is not None:
        terms["distance"] = jnp.mean(frozen.distance(drawn, wanted))
    return terms


def _pixels(one: Float[Array, "n h w c"], other: Float[Array, "n h w c"], scales: int) -> Float[Array, ""]:
    error, size = one - other, one.shape[1]
    halves = [area_average(error, (size >> scale, size >> scale)) for scale in range(1, scales)]
    return sum((jnp.mean(part**2) for part in (error, *halves)), jnp.zeros(())) / scales
