"""A domain of another kind, as someone else's package would offer it: a coloured disc, anywhere in the picture.

Its generator is a StyleGAN2 by its mapping network and its layers, but draws with the renderer itself: every picture is
exact. The factors come in an order in which structure and appearance take turns.
"""

from functools import cache

import jax
import jax.numpy as jnp
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.domains import search

NAMES = ("x", "hue", "y", "size")
STRUCTURE = ("x", "y")
RESOLUTION, DIM, LAYERS = 16, 8, 6
OWNERS = jnp.zeros((LAYERS, 4)).at[:3, 0::2].set(1 / 3).at[3:, 1::2].set(1 / 3)  # coarse: structure; fine: appearance
BEND = 0.3


def render(factors, resolution):
    """Discs: their place, radius and redness, bright blue on black."""
    ticks = (jnp.arange(resolution, dtype=jnp.float32) + 0.5) / resolution * 2.0 - 1.0
    x, hue, y, size = (factors[:, i, None, None] for i in range(4))
    radius = 0.3 + 0.08 * size
    distance = jnp.sqrt((ticks[None, None] - 0.5 * x) ** 2 + (ticks[None, :, None] - 0.5 * y) ** 2)
    disc = jax.nn.sigmoid((radius - distance) * 16.0)
    return jnp.stack([disc * (0.5 + 0.5 * hue), 0.2 * disc, disc], axis=-1) * 2.0 - 1.0


def truth(ws):
    """tanh of directions of w, averaged over the layers that own a factor; each bends the next of its kind a little."""
    mean, axes = _frame()
    s = jnp.einsum("lf,...ld,df->...f", OWNERS, ws - mean[(None,) * (ws.ndim - 1)], axes)
    return jnp.tanh(s * (1.0 + BEND * jnp.roll(s, 2, axis=-1)))


class Shapes:
    """Implements disentangle_jax.domains.Domain."""

    names = NAMES
    structure = STRUCTURE

    def truth(self, ws):
        return truth(ws)

    def render(self, factors, resolution):
        return render(factors, resolution)

    def pose(self, ws, structure):
        wanted = truth(ws).at[jnp.array([0, 2])].set(structure)
        return search(truth, ws, wanted, jnp.eye(DIM))


@jax.tree_util.register_static
class Reader:
    """Implements disentangle_jax.scorers.Scorer: moments of the blue and the red channel."""

    names = NAMES
    structure = STRUCTURE

    def __call__(self, images):
        ticks = (jnp.arange(images.shape[1], dtype=jnp.float32) + 0.5) / images.shape[1] * 2.0 - 1.0
        red, blue = (images[..., 0] + 1.0) / 2.0, (images[..., 2] + 1.0) / 2.0
        mass = blue.sum((1, 2))
        x, y = (blue * ticks[None, None]).sum((1, 2)) / mass, (blue * ticks[None, :, None]).sum((1, 2)) / mass
        blur = jnp.pi**2 / (3.0 * 16.0**2)  # the soft edge adds so much to the mean square radius
        radius = jnp.sqrt(jnp.maximum(mass * (2.0 / images.shape[1]) ** 2 / jnp.pi - blur, 0.0))
        return jnp.stack([x / 0.5, red.sum((1, 2)) / mass * 2.0 - 1.0, y / 0.5, (radius - 0.3) / 0.08], axis=1)


class Synthesis(sg2.SynthesisNetwork):
    """Draws with the renderer."""

    def __call__(self, ws, noise_mode="const", key=None, dtype=jnp.float32, remat=False):
        return render(truth(jnp.asarray(ws)), self.img_resolution)


@jax.jit
def generator():
    """The generator `shapes`."""
    rngs, channels = nnx.Rngs(0), {"channel_base": 64, "channel_max": 4}
    whole = sg2.Generator(
        DIM, 0, DIM, RESOLUTION, mapping_kwargs={"num_layers": 1}, synthesis_kwargs=channels, rngs=rngs
    )
    whole.synthesis = Synthesis(DIM, RESOLUTION, 3, channel_base=64, channel_max=4, rngs=rngs)
    return whole


@cache
def _frame():
    """The mean w, and an axis of whitened w for each factor."""
    with jax.ensure_compile_time_eval():
        w = generator().mapping(jax.random.normal(jax.random.key(1), (4096, DIM)))[:, 0]
        values, vectors = jnp.linalg.eigh(jnp.cov(w.T))
        return w.mean(0), 0.7 * (vectors / jnp.sqrt(values)[None])[:, 4:]
