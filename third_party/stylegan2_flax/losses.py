"""The losses of StyleGAN2: pure functions of arrays, and of the networks as functions of arrays.

Weights are the caller's. A step of StyleGAN2's training takes the mean of a penalty over the batch, times its weight
(gamma / 2 for R1, 2 for path lengths), times the number of main steps for which it stands in.

Axes: b samples, l layers (num_ws), d w_dim, h w c image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from stylegan2_flax.resample import Number

Images = Float[Array, "b h w c"]
Latents = Float[Array, "b l d"]


def generator_loss(fake_logits: Float[Array, "b 1"]) -> Float[Array, ""]:
    """What the generator minimises: mean(softplus(-D(G(z)))), the non-saturating logistic loss.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, section 3 (maximise log D(G(z))).

    >>> round(float(generator_loss(jnp.zeros((2, 1)))), 4)  # a discriminator that cannot tell: log 2
    0.6931
    """
    return jnp.mean(jax.nn.softplus(-fake_logits))


def discriminator_loss(real_logits: Float[Array, "b 1"], fake_logits: Float[Array, "b2 1"]) -> Float[Array, ""]:
    """What the discriminator minimises: mean(softplus(-D(x))) + mean(softplus(D(G(z)))).

    Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1, with D's sigmoid taken into the loss.

    >>> round(float(discriminator_loss(jnp.full((2, 1), 9.0), jnp.full((2, 1), -9.0))), 4)
    0.0002
    """
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def r1_penalty(discriminate: Callable[[Images], Float[Array, "b 1"]], images: Images) -> Float[Array, " b"]:
    """The squared gradient of the logits to each real image, summed over its values: |d sum(D(x)) / d x_b|^2.

    The loss is gamma / 2 times its mean. Pass the augmented discriminator where training augments: the gradient goes
    to the images before augmentation.

    Source: Mescheder et al. 2018, arXiv:1801.04406, equation 9.

    >>> r1_penalty(lambda x: 3 * jnp.sum(x, axis=(1, 2, 3))[:, None], jnp.zeros((2, 4, 4, 1))).tolist()  # 16 * 3^2
    [144.0, 144.0]
    """
    gradients = jax.grad(lambda x: jnp.sum(discriminate(x)))(images)
    return jnp.sum(jnp.square(gradients), axis=(1, 2, 3))


def path_lengths(synthesize: Callable[[Latents], Images], ws: Latents, noise: Images) -> Float[Array, " b"]:
    """How far an image moves for a step of its latents: sqrt(mean_l sum_d (d sum(G(ws) * y) / d ws)^2).

    noise: standard normal, of the images' shape; y is noise / sqrt(h * w), so that lengths do not grow with resolution.

    Source: Karras et al. 2020, arXiv:1912.04958, section 3.2, equation 4 (|J^T y|), and appendix B for the scale of y.
    """
    images, pullback = jax.vjp(synthesize, ws)
    _, h, w, _ = images.shape
    (gradients,) = pullback(noise / (h * w) ** 0.5)
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradients), axis=2), axis=1))


def path_length_penalty(
    synthesize: Callable[[Latents], Images],
    ws: Latents,
    noise: Images,
    mean: Float[Array, ""],
    decay: Number = 0.01,
) -> tuple[Float[Array, " b"], Float[Array, ""]]:
    """(length - mean)^2 of each sample, and the running mean of the lengths after this batch.

    mean: the running mean before it, 0 at first. It moves by `decay` of the way to the mean of this batch; the penalty
    is taken against the new mean, and its gradient goes through that too. ws, noise: as `path_lengths` takes them.
    The loss is 2 times the mean of the penalty; half the batch is enough (arXiv:1912.04958, appendix B).

    Source: Karras et al. 2020, arXiv:1912.04958, section 3.2, equation 4.
    """
    lengths = path_lengths(synthesize, ws, noise)
    mean = mean + decay * (jnp.mean(lengths) - mean)
    return jnp.square(lengths - mean), mean


def mix_styles(key: PRNGKeyArray, ws: Latents, ws_other: Latents, probability: Number = 0.9) -> Latents:
    """The first layers of `ws` and the rest of `ws_other`, with this probability; else `ws` as it is.

    The whole batch shares one draw and one cut, which is uniform over 1 ... num_ws - 1.

    Source: Karras et al. 2019, arXiv:1812.04948, section 3.1.
    """
    mix_key, cut_key = jax.random.split(key)
    num_ws = ws.shape[1]
    cut = jax.random.randint(cut_key, (), 1, num_ws)
    cut = jnp.where(jax.random.bernoulli(mix_key, probability), cut, num_ws)
    return jnp.where(jnp.arange(num_ws)[None, :, None] < cut, ws, ws_other)
