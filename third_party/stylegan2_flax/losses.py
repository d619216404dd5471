"""The losses of StyleGAN2: pure functions of arrays and of networks as functions.

Penalties are unweighted. A train step takes the mean of a penalty over the batch, times its weight (gamma / 2 for R1,
2 for path lengths), times the number of main steps between two regularization steps.

Axes: b samples, l layers (num_ws), d w_dim, h w c image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from stylegan2_flax.resample import Number

Images = Float[Array, "b h w c"]
Ws = Float[Array, "b l d"]


def generator_loss(fake_logits: Float[Array, "b 1"]) -> Float[Array, ""]:
    """The non-saturating loss of the generator: mean(softplus(-D(G(z)))).

    Args:
        fake_logits: logits D(G(z)) of generated images.

    Returns:
        The loss, a scalar.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, section 3 (maximise log D(G(z))).

    >>> round(float(generator_loss(jnp.zeros((2, 1)))), 4)  # a discriminator that cannot tell: log 2
    0.6931
    """
    return jnp.mean(jax.nn.softplus(-fake_logits))


def discriminator_loss(real_logits: Float[Array, "b 1"], fake_logits: Float[Array, "b2 1"]) -> Float[Array, ""]:
    """The logistic loss of the discriminator: mean(softplus(-D(x))) + mean(softplus(D(G(z)))).

    Args:
        real_logits: logits D(x) of real images.
        fake_logits: logits D(G(z)) of generated images.

    Returns:
        The loss, a scalar.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1, with the sigmoid of D as part of the loss.

    >>> round(float(discriminator_loss(jnp.full((2, 1), 9.0), jnp.full((2, 1), -9.0))), 4)
    0.0002
    """
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def r1_penalty(discriminate: Callable[[Images], Float[Array, "b 1"]], images: Images) -> Float[Array, " b"]:
    """The R1 penalty of each image: |d sum(D(x)) / d x_b|^2, the squared norm of the gradient by the image.

    The loss is gamma / 2 times its mean.

    Args:
        discriminate: images -> logits. With augmentation, it should augment too: the gradient is by the images before.
        images: real images.

    Returns:
        The penalty of each image.

    Source: Mescheder et al. 2018, arXiv:1801.04406, equation 9.

    >>> r1_penalty(lambda x: 3 * jnp.sum(x, axis=(1, 2, 3))[:, None], jnp.zeros((2, 4, 4, 1))).tolist()  # 16 * 3^2
    [144.0, 144.0]
    """
    gradients = jax.grad(lambda x: jnp.sum(discriminate(x)))(images)
    return jnp.sum(jnp.square(gradients), axis=(1, 2, 3))


def path_lengths(synthesize: Callable[[Ws], Images], ws: Ws, noise: Images) -> Float[Array, " b"]:
    """The path length of each image: sqrt(mean_l sum_d (d sum(G(ws) * y) / d ws)^2), with y = noise / sqrt(h * w).

    Args:
        synthesize: ws -> images.
        ws: latents.
        noise: standard normal noise of the shape of the images. Its scale makes lengths independent of the resolution.

    Returns:
        The path length of each image.

    Source: Karras et al. 2020, arXiv:1912.04958, section 3.2, equation 4 (|J^T y|), and appendix B for the scale of y.

    >>> def synthesize(ws):  # a single pixel that shows 3 w
    ...     return 3 * ws[:, :, :, None]
    >>> path_lengths(synthesize, jnp.zeros((2, 1, 1)), jnp.ones((2, 1, 1, 1))).tolist()
    [3.0, 3.0]
    """
    images, pullback = jax.vjp(synthesize, ws)
    _, h, w, _ = images.shape
    (gradients,) = pullback(noise / (h * w) ** 0.5)
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradients), axis=2), axis=1))


def path_length_penalty(
    synthesize: Callable[[Ws], Images],
    ws: Ws,
    noise: Images,
    mean: Float[Array, ""],
    decay: Number = 0.01,
) -> tuple[Float[Array, " b"], Float[Array, ""]]:
    """The path length penalty of each sample: (length - mean)^2, with mean the updated moving average of path lengths.

    The loss is 2 times its mean; half of the batch is enough (arXiv:1912.04958, appendix B).

    Args:
        synthesize, ws, noise: see `path_lengths`.
        mean: the moving average before this batch, at first 0.
        decay: weight of this batch in the moving average. The gradient goes through the new average, too.

    Returns:
        The penalty of each sample, and the new moving average.

    Source: Karras et al. 2020, arXiv:1912.04958, section 3.2, equation 4.

    >>> def synthesize(ws):  # a single pixel that shows 3 w
    ...     return 3 * ws[:, :, :, None]
    >>> ws, noise = jnp.zeros((2, 1, 1)), jnp.ones((2, 1, 1, 1))
    >>> penalty, mean = path_length_penalty(synthesize, ws, noise, jnp.zeros(()), decay=0.5)
    >>> penalty.tolist(), float(mean)  # (3 - 1.5)^2
    ([2.25, 2.25], 1.5)
    """
    lengths = path_lengths(synthesize, ws, noise)
    mean = mean + decay * (jnp.mean(lengths) - mean)
    return jnp.square(lengths - mean), mean


def mix_styles(key: PRNGKeyArray, ws: Ws, ws_other: Ws, probability: Number = 0.9) -> Ws:
    """Style mixing: with this probability, replace the layers of `ws` from a random cut on by those of `ws_other`.

    The whole batch shares one decision and one cut, which is uniform over 1 ... num_ws - 1.

    Args:
        key: random key.
        ws, ws_other: latents.
        probability: probability of mixing.

    Returns:
        The mixed latents.

    Source: Karras et al. 2019, arXiv:1812.04948, section 3.1.

    >>> ws, ws_other = jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1))
    >>> mix_styles(jax.random.key(0), ws, ws_other, probability=1.0).ravel().tolist()  # two layers: one possible cut
    [0.0, 1.0]
    """
    mix_key, cut_key = jax.random.split(key)
    num_ws = ws.shape[1]
    cut = jax.random.randint(cut_key, (), 1, num_ws)
    cut = jnp.where(jax.random.bernoulli(mix_key, probability), cut, num_ws)
    return jnp.where(jnp.arange(num_ws)[None, :, None] < cut, ws, ws_other)
