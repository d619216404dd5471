"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676), for training a GAN with few images.

The discriminator sees only augmented images, both real and generated ones. Each transform is applied with a probability
p < 1. The distribution of the augmented images then determines that of the images, so the generator does not learn to
generate augmentations. `next_probability` adapts p to the overfitting of the discriminator.

The transforms, their order and their distributions are those of appendix B of the paper.
"""

from collections.abc import Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, PRNGKeyArray, Shaped

from stylegan2_flax.resample import Number

PIPELINES = {
    "blit": ("blit",),
    "geom": ("geom",),
    "color": ("color",),
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
}

Probability = Number | Float[Array, ""]
Images = Float[Array, "b h w c"]
# A matrix for each image: position (x, y, 1) in the augmented image, in pixels from its center -> position in the
# image, which is extended by reflection.
Lookup = Float[Array, "b 3 3"]
Entry = Number | Shaped[Array, " b"]

# The low-pass filters of the biorthogonal wavelet 6.8 (Cohen, Daubechies & Feauveau 1992, "Biorthogonal bases of
# compactly supported wavelets"), each from its middle on. Enlarging with one and shrinking with the other gives the
# image back. The paper's sym6 passes as much, but is not symmetric: with these, quarter turns are exact, and an image's
# reflection is enlarged to the reflection of the enlarged image, so that nothing beyond the image need be enlarged.
_ENLARGE = (
    0.7589077294536541,
    0.41784910915027457,
    -0.04036797903033992,
    -0.07872200106262882,
    0.014467504896790148,
    0.014426282505624435,
)
_SHRINK = (
    0.8259229974584023,
    0.4207962846098268,
    -0.09405920349573646,
    -0.07726317316720414,
    0.04973290349094079,
    0.01193456527972926,
    -0.016990639867602342,
    -0.0019142861290887667,
    0.0019088317364812906,
)
_MARGIN = len(_SHRINK) - 1  # pixels of the enlarged image that shrinking reads beyond it


def augment(key: PRNGKeyArray, images: Images, p: Probability, pipeline: str = "bgc") -> Images:
    """Apply random transforms to each image.

    For a fixed key the result is affine in the images, so it has gradients of every order.

    Args:
        key: random key.
        images: square float32 images in [-1, 1]. Color transforms may leave this range.
        p: probability of each transform; 0 returns the images unchanged. May be traced.
        pipeline: "blit" (flips, quarter turns, integer translation), "geom" (scaling, rotation, translation), "color"
            (brightness, contrast, luma flip, hue, saturation; for grey images the first three), or the
            combinations "bg" and "bgc".

    Raises:
        ValueError: the pipeline is unknown, or the images are not square or have unsuitable channels.
    """
    _check(images, pipeline)
    batch, size, _, channels = images.shape
    groups = PIPELINES[pipeline]
    blit_key, geometry_key, color_key = jax.random.split(key, 3)
    augmented, lookup = images, jnp.tile(jnp.eye(3), (batch, 1, 1))
    if "blit" in groups:
        lookup = draw_blit(blit_key, batch, p, size)
        augmented = blit(images, lookup)
    if "geom" in groups:
        geometry = draw_geometry(geometry_key, batch, p, size)
        moved = jnp.any(geometry != jnp.eye(3)[None], axis=(1, 2))
        # Images without a geometric transform are not resampled.
        augmented = jnp.where(moved[:, None, None, None], warp(images, _product(lookup, geometry)), augmented)
    if "color" in groups:
        brightness, matrix = draw_color(color_key, batch, p, channels)
        augmented = augmented + brightness[:, None, None, None]
        augmented = jnp.einsum("bhwi,boi->bhwo", augmented, matrix, precision="highest")
    return augmented


def next_probability(
    p: Probability,
    sign_of_real: Number | Float[Array, ""],
    batch_size: int,
    interval: int = 4,
    target: Number = 0.6,
    kimg: Number = 500,
) -> Float[Array, ""]:
    """Update the augmentation probability: max(p + sign(r - target) * batch_size * interval / (1000 * kimg), 0).

    Args:
        p: the current probability.
        sign_of_real: r, the mean of sign(D(x)) over the real images of the last `interval` steps: 0 without
            overfitting, 1 with complete overfitting.
        batch_size: images in a step.
        interval: steps between updates of p.
        target: r above which p increases.
        kimg: thousands of images in which p can change from 0 to 1.

    Source: Karras et al. 2020, arXiv:2006.06676, section 3 and equation 1.
    """
    step = batch_size * interval / (kimg * 1000)
    return jnp.maximum(p + jnp.sign(sign_of_real - target) * step, 0.0)


def draw_blit(key: PRNGKeyArray, batch: int, p: Probability, size: int) -> Lookup:
    """Sample flips, quarter turns and integer translations, for `blit`."""
    acts_key, draw_key = jax.random.split(key)
    flips, turns, shifts = _acts(acts_key, batch, (p, p, p))
    flip, turn, x, y = jax.random.uniform(draw_key, (4, batch))
    flip = 1 - 2 * flips * jnp.round(flip)
    turn = (turns * jnp.floor(4 * turn)).astype(jnp.int32)
    cosine, sine = jnp.array([1, 0, -1, 0])[turn], jnp.array([0, 1, 0, -1])[turn]
    x, y = (shifts * jnp.round(0.125 * size * (2 * u - 1)) for u in (x, y))
    return _product(_lookup(flip, 0, 0, 1), _lookup(cosine, -sine, sine, cosine), _lookup(1, 0, 0, 1, x, y))


def draw_geometry(key: PRNGKeyArray, batch: int, p: Probability, size: int) -> Lookup:
    """Sample scaling, rotation, anisotropic scaling, rotation and translation, for `warp`.

    Each distribution equals that of the inverse transforms, so lookups are sampled like transforms.
    """
    acts_key, normal_key, angle_key = jax.random.split(key, 3)
    p_rotation = 1 - jnp.sqrt(jnp.maximum(1 - p, 0.0))  # the probability that at least one of the two rotates is p
    scales, turns_before, stretches, turns_after, shifts = _acts(acts_key, batch, (p, p_rotation, p, p_rotation, p))
    scale, stretch, x, y = jax.random.normal(normal_key, (4, batch))
    before, after = jax.random.uniform(angle_key, (2, batch), minval=-jnp.pi, maxval=jnp.pi)
    scale, stretch = jnp.exp2(0.2 * scales * scale), jnp.exp2(0.2 * stretches * stretch)
    x, y = 0.125 * size * shifts * x, 0.125 * size * shifts * y
    return _product(
        _lookup(scale, 0, 0, scale),
        _rotation(turns_before * before),
        _lookup(stretch, 0, 0, 1 / stretch),
        _rotation(turns_after * after),
        _lookup(1, 0, 0, 1, x, y),
    )


def draw_color(
    key: PRNGKeyArray, batch: int, p: Probability, channels: int
) -> tuple[Float[Array, " b"], Float[Array, "b c c"]]:
    """Sample an offset (brightness) and a matrix (contrast, luma flip, hue, saturation) for the pixels of each image.

    All factors of the matrix map the grey axis to itself and scale or rotate the plane orthogonal to it, so they
    commute: the axis is scaled by contrast and flip, the plane by contrast and saturation, and rotated by the hue.
    """
    acts_key, normal_key, uniform_key = jax.random.split(key, 3)
    brightens, contrasts, flips, turns, saturates = _acts(acts_key, batch, (p, p, p, p, p))
    brightness, contrast, saturation = jax.random.normal(normal_key, (3, batch))
    flip, hue = jax.random.uniform(uniform_key, (2, batch))
    brightness, contrast = 0.2 * brightens * brightness, jnp.exp2(0.5 * contrasts * contrast)
    grey = contrast * (1 - 2 * flips * jnp.round(flip))
    if channels == 1:
        return brightness, grey[:, None, None]
    hue, saturation = jnp.pi * turns * (2 * hue - 1), jnp.exp2(saturates * saturation)
    along, across = contrast * saturation * jnp.cos(hue), contrast * saturation * jnp.sin(hue)
    quarter_turn = jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3**0.5
    along, across, rest = (factor[:, None, None] for factor in (along, across, grey - along))
    return brightness, along * jnp.eye(3)[None] + across * quarter_turn[None] + rest / 3


def blit(images: Images, lookup: Lookup) -> Images:
    """Apply lookups that map pixels to pixels, without interpolation."""
    size = images.shape[1]
    centre = (size - 1) / 2
    x, y = (_reflected(jnp.round(place + centre), size) for place in _places(lookup, jnp.arange(float(size)) - centre))
    return _pixels(images, x, y)


def warp(images: Images, lookup: Lookup) -> Images:
    """Apply affine lookups: upsample by two, interpolate bilinearly, and downsample by two, against aliasing."""
    size = images.shape[1]
    centre = (size - 1) / 2
    enlarged = _resampled(images, _enlarging(size))
    grid = jnp.arange(-_MARGIN, 2.0 * size - 1 + _MARGIN) / 2 - centre
    x, y = (2 * (place + centre) for place in _places(lookup, grid))
    left, top = jnp.floor(x), jnp.floor(y)
    right_share, below_share = (x - left)[..., None], (y - top)[..., None]
    left, right, top, below = (_reflected(place, 2 * size - 1) for place in (left, left + 1, top, top + 1))
    above = _mix(_pixels(enlarged, left, top), _pixels(enlarged, right, top), right_share)
    under = _mix(_pixels(enlarged, left, below), _pixels(enlarged, right, below), right_share)
    return _resampled(_mix(above, under, below_share), _shrinking(size))


def _check(images: Images, pipeline: str) -> None:
    if pipeline not in PIPELINES:
        raise ValueError(f"unknown augmentation pipeline {pipeline!r}: choose one of {', '.join(PIPELINES)}")
    _, h, w, channels = images.shape
    if h != w or h < 2:
        raise ValueError(f"augment turns images about: it needs square ones of at least 2 pixels, got {h}x{w}")
    if "color" in PIPELINES[pipeline] and channels not in (1, 3):
        raise ValueError(f'colour transforms need 1 or 3 channels, got {channels}: choose pipeline="bg"')


def _acts(key: PRNGKeyArray, batch: int, probabilities: Sequence[Probability]) -> Float[Array, "n b"]:
    """Whether each of n transforms is applied to each image, as 1 or 0."""
    thresholds = jnp.stack([jnp.asarray(p, jnp.float32) for p in probabilities])[:, None]
    return (jax.random.uniform(key, (len(probabilities), batch)) < thresholds).astype(jnp.float32)


def _lookup(xx: Entry, xy: Entry, yx: Entry, yy: Entry, x: Entry = 0, y: Entry = 0) -> Lookup:
    """Matrices [[xx, xy, x], [yx, yy, y], [0, 0, 1]]. An entry is a number, or one for each image."""
    entries = jnp.broadcast_arrays(*(jnp.asarray(e, jnp.float32) for e in (xx, xy, x, yx, yy, y, 0, 0, 1)))
    return jnp.stack(entries, axis=-1).reshape(-1, 3, 3)


def _rotation(angle: Float[Array, " b"]) -> Lookup:
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return _lookup(cosine, -sine, sine, cosine)


def _product(*lookups: Lookup) -> Lookup:
    return reduce(partial(jnp.matmul, precision="highest"), lookups)


def _places(lookup: Lookup, grid: Float[Array, " n"]) -> tuple[Float[Array, "b n n"], Float[Array, "b n n"]]:
    """Lookup of a square grid: x and y. Written as sums, which are float32 on all devices."""
    x, y = grid[None, None, :], grid[None, :, None]
    to_x, to_y = jnp.moveaxis(lookup[:, :2, :, None, None], (1, 2), (0, 1))
    return to_x[0] * x + to_x[1] * y + to_x[2], to_y[0] * x + to_y[1] * y + to_y[2]


def _reflected(position: Float[Array, "*n"], size: int) -> Int[Array, "*n"]:
    """The pixel index after reflection at the outermost pixels."""
    period = 2 * (size - 1)
    position = position.astype(jnp.int32) % period
    return jnp.minimum(position, period - position)


def _pixels(images: Images, x: Int[Array, "b n n"], y: Int[Array, "b n n"]) -> Float[Array, "b n n c"]:
    return jax.vmap(lambda image, x, y: image.at[y, x].get(mode="promise_in_bounds"))(images, x, y)


def _mix(a: Array, b: Array, share: Array) -> Array:
    return a + share * (b - a)


def _resampled(images: Images, matrix: Float[np.ndarray, "n h"]) -> Float[Array, "b n n c"]:
    """Multiply rows and columns by a matrix. On CPU this is many times faster than the gradient of a FIR filter."""
    return jnp.einsum("bijc,yi,xj->byxc", images, matrix, matrix, precision="highest")


def _enlarging(size: int) -> Float[np.ndarray, "fine size"]:
    """The matrix that upsamples a reflected image by two; pixel 2 * i of the result is at pixel i."""
    reach = len(_ENLARGE) // 2
    taps = _taps(_ENLARGE, np.arange(2 * size - 1)[:, None] - 2 * np.arange(-reach, size + reach)) * 2**0.5
    reflection = np.pad(np.eye(size, dtype=np.float32), ((reach, reach), (0, 0)), mode="reflect")
    return taps @ reflection


def _shrinking(size: int) -> Float[np.ndarray, "size fine"]:
    """The inverse of `_enlarging`, for an image with `_MARGIN` more pixels on each side."""
    return _taps(_SHRINK, np.arange(-_MARGIN, 2 * size - 1 + _MARGIN) - 2 * np.arange(size)[:, None]) / 2**0.5


def _taps(half: tuple[float, ...], offset: Int[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """A symmetric filter at these offsets from its center; zero beyond its ends."""
    return np.append(half, 0.0).astype(np.float32)[np.minimum(np.abs(offset), len(half))]
