"""How good an encoder is, on pictures that it has never seen."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches, render_batch
from disentangle_jax.domains import Domain, JudgedDomain
from disentangle_jax.inversion.encoder_network import EncoderNetwork
from disentangle_jax.latents import sample_ws
from disentangle_jax.metrics import psnr, r2
from disentangle_jax.scorers import Factors, load_scorer, split


@dataclass(frozen=True, eq=False)
class Assessment:
    """Held-out pictures: samples of the generator and, where its domain is known, exact pictures of uniform factors.

    Attributes:
        samples: pictures that the generator drew.
        exact: exact pictures, of which the generator has drawn none; None without a domain.
        factors: what they show.
        judged: the domain with the scorer that reads what the generator makes of their latents; None without one.
    """

    samples: Float[np.ndarray, "n h w c"]
    exact: Float[np.ndarray, "n h w c"] | None
    factors: Factors | None
    judged: JudgedDomain | None

    @classmethod
    def of(cls, config: ConfigDict, generator: sg2.Generator, domain: Domain | None) -> "Assessment":
        """Draw the pictures of `config.evaluation`.

        Raises:
            FileNotFoundError: the judge's file does not exist.
            ValueError: there is no such judge, or it does not read the domain's factors.
        """
        options, size = config.evaluation, generator.img_resolution
        k_ws, k_factors = jax.random.split(jax.random.key(options.seed))
        judged = None
        if domain is not None and options.judge:
            judged = JudgedDomain(domain, load_scorer(options.judge), size)
        ws = sample_ws(generator.mapping, k_ws, options.num_images, truncation_psi=1.0)
        samples = in_batches(partial(_draw, generator.synthesis), render_batch(size), ws)
        if domain is None:
            return cls(samples, None, None, judged)
        values = jax.random.uniform(k_factors, (options.num_images, len(domain.names)), minval=-1.0, maxval=1.0)
        render = jax.jit(partial(domain.render, resolution=size))
        return cls(samples, in_batches(render, render_batch(size), values), split(values, domain), judged)

    def brief(self, encoder: EncoderNetwork, generator: sg2.Generator) -> dict[str, float]:
        """Mean PSNR in dB between pictures and what the generator makes of their latents."""
        parts = {"psnr_samples": self.samples} | ({} if self.exact is None else {"psnr_exact": self.exact})
        return {name: _invert(encoder, generator, images)[2] for name, images in parts.items()}

    def card(self, encoder: EncoderNetwork, generator: sg2.Generator) -> dict[str, Any]:
        """The same, and how well factors are kept: those that a judge reads in the result, and those of its latent."""
        card: dict[str, Any] = {"held_out": len(self.samples)}
        card |= {name: round(value, 2) for name, value in self.brief(encoder, generator).items()}
        if self.judged is None or self.exact is None or self.factors is None:
            return card
        ws, drawn, _ = _invert(encoder, generator, self.exact)
        read = in_batches(self.judged.read, render_batch(drawn.shape[1]), drawn)
        of_latents = self.judged.truth(jnp.asarray(ws))
        for kind in Factors._fields:
            wanted = getattr(self.factors, kind)
            card[f"{kind}_r2_read_in_pictures"] = _rounded(r2(getattr(read, kind), wanted))
            card[f"{kind}_r2_of_latents"] = _rounded(r2(getattr(of_latents, kind), wanted))
        return card


def _rounded(scores: Float[np.ndarray, "f"]) -> float:
    return round(float(scores.mean()), 3)


def _invert(
    encoder: EncoderNetwork, generator: sg2.Generator, images: Float[np.ndarray, "n h w c"]
) -> tuple[Float[np.ndarray, "n l d"], Float[np.ndarray, "n h w c"], float]:
    """Latents, what the generator makes of them, and the mean PSNR."""
    invert = partial(_encode_and_draw, encoder, generator.synthesis)
    ws, drawn, decibels = in_batches(invert, render_batch(images.shape[1]), images)
    return ws, drawn, float(decibels.mean())


@jax.jit
def _encode_and_draw(
    encoder: EncoderNetwork, synthesis: sg2.SynthesisNetwork, images: Float[Array, "n h w c"]
) -> tuple[Float[Array, "n l d"], Float[Array, "n h w c"], Float[Array, "n"]]:
    ws = encoder(images)
    drawn = synthesis(ws)
    return ws, drawn, psnr(drawn, images)


@jax.jit
def _draw(synthesis: sg2.SynthesisNetwork, ws: Float[Array, "n l d"]) -> Float[Array, "n h w c"]:
    return synthesis(ws)
