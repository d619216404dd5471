"""What an encoder learns from: latents and their pictures, which cost nothing, since a generator draws them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Sharding
from jaxtyping import Float, PRNGKeyArray
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.domains import Domain
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.latents import sample_mixed_ws


class Samples(NamedTuple):
    """Latents and what they look like.

    Attributes:
        ws: the latents.
        images: their pictures in [-1, 1], of the generator's resolution.
    """

    ws: Float[Array, "n l d"]
    images: Float[Array, "n h w c"]


def style_variances(synthesis: sg2.SynthesisNetwork, space: LatentSpace) -> dict[str, Float[Array, ""]]:
    """The variance of each layer's styles, averaged over its channels.

    Styles are affine in w, so their variance is the sum of the squares of what each axis of the space changes.
    """
    w = jnp.concatenate([space.mean[None], space.mean[None] + space.axes])
    styles = synthesis.styles(jnp.repeat(w[:, None], synthesis.num_ws, axis=1))
    return {name: jnp.mean(jnp.sum((of[1:] - of[:1]) ** 2, axis=0)) for name, of in styles.items()}


def draw_samples(
    generator: sg2.Generator,
    domain: Domain | None,
    key: PRNGKeyArray,
    n: int,
    options: ConfigDict,
    sharding: Sharding,
) -> Samples:
    """Draw n random pictures, the exact ones first.

    Args:
        generator: the generator.
        domain: its domain; None if it has none.
        key: random key.
        n: number of samples.
        options: `style_mixing`, the probability that the layers from a random cut on are another sample's; `psi`, the
            smallest and the largest truncation, drawn for each sample; `exact`, the share of pictures that are the
            domain's exact ones of the same latents instead of the generator's.
        sharding: of the latents.
    """
    k_ws, k_psi = jax.random.split(key)
    ws = sample_mixed_ws(generator.mapping, k_ws, n, 1.0, options.style_mixing)
    low, high = options.psi
    psi = jax.random.uniform(k_psi, (n, 1, 1), minval=low, maxval=high)
    mean = generator.mapping.w_avg[...][None, None]
    ws = jax.lax.with_sharding_constraint(mean + psi * (ws - mean), sharding)
    num_exact = 0 if domain is None else round(options.exact * n)
    parts = []
    if domain is not None and num_exact > 0:
        parts.append(domain.render(domain.truth(ws[:num_exact]), generator.img_resolution))
    if num_exact < n:
        parts.append(generator.synthesis(ws[num_exact:]))
    return Samples(ws, jnp.concatenate(parts))
