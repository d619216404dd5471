"""A differentiable renderer of parametric faces: features painted on an ellipsoid head that rotates in 3-D.

Scene coordinates: x to the right, y up, z to the viewer; the image spans [-0.76, 0.76] in x. Edges are antialiased by
their signed distance, so one sample per pixel is smooth and differentiable. Objects are painted from back to front.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.faces.anatomy import Face, Scalar, Vector, anatomy
from disentangle_jax.faces.factors import APPEARANCE, STRUCTURE, Factors

Picture = Float[Array, "h w 3"]
Plane = Float[Array, "h w"]

_HALF_WIDTH = 0.76
_CENTER_Y = 0.02
_LIGHT = np.array([-0.35, 0.55, 0.76], np.float32)


class _Surface(NamedTuple):
    """The visible surface of an ellipsoid, for parallel rays along z."""

    coverage: Plane
    x: Plane  # the point hit, in the head's frame
    y: Plane
    z: Plane
    normal: Float[Array, "3 h w"]  # in the world's frame
    depth: Plane


class _Canvas(NamedTuple):
    """Pixel centres and the size of a pixel, in scene units."""

    x: Plane
    y: Plane
    pixel: float

    def coverage(self, distance: Plane) -> Plane:
        """The fraction of a pixel that is inside a shape, from the signed distance to its edge (negative inside)."""
        return jnp.clip(0.5 - distance / self.pixel, 0.0, 1.0)


def render(factors: Factors, resolution: int = 64, supersampling: int = 1) -> Float[Array, "*n h w 3"]:
    """Render faces.

    Args:
        factors: factors with any leading axes. Values are clipped to [-1, 1], so that trajectories may overshoot.
        resolution: height and width of the images in pixels, from 32 to 256.
        supersampling: samples per pixel and axis; 1 is antialiased, 2 is for close inspection.

    Returns:
        float32 images in [-1, 1].

    Raises:
        ValueError: the resolution is out of range, or the factors have a wrong shape.
    """
    if not 32 <= resolution <= 256:
        raise ValueError(f"resolution must lie between 32 and 256 pixels; got {resolution}")
    if factors.appearance.shape[-1:] != (len(APPEARANCE),) or factors.structure.shape[-1:] != (len(STRUCTURE),):
        raise ValueError(
            f"factors must end in {len(APPEARANCE)} appearance and {len(STRUCTURE)} structure values; "
            f"got shapes {factors.appearance.shape} and {factors.structure.shape}"
        )
    return _render(factors, resolution, supersampling)


@partial(jax.jit, static_argnames=("resolution", "supersampling"))
def _render(factors: Factors, resolution: int, supersampling: int) -> Float[Array, "*n h w 3"]:
    leading = factors.structure.shape[:-1]
    flat = Factors(*(jnp.clip(values, -1.0, 1.0).reshape(-1, values.shape[-1]) for values in factors))
    images = jax.vmap(partial(_draw, size=resolution * supersampling))(flat)
    images = images.reshape(-1, resolution, supersampling, resolution, supersampling, 3).mean((2, 4))
    return (2.0 * images - 1.0).reshape(*leading, resolution, resolution, 3)


def _draw(factors: Factors, size: int) -> Picture:
    face, canvas = anatomy(factors), _canvas(size)
    picture = _backdrop(canvas, face)
    picture = _back_hair(picture, canvas, face)
    picture = _body(picture, canvas, face)
    picture = _head(picture, canvas, face)
    picture = _nose(picture, canvas, face)
    picture = _hair(picture, canvas, face)
    return jnp.clip(picture, 0.0, 1.0)


def _canvas(size: int) -> _Canvas:
    ticks = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size * 2.0 - 1.0
    x, y = jnp.meshgrid(ticks, -ticks)
    return _Canvas(x * _HALF_WIDTH, y * _HALF_WIDTH + _CENTER_Y, 2.0 * _HALF_WIDTH / size)


def _ellipsoid(canvas: _Canvas, face: Face, center: tuple, radii: tuple) -> _Surface:
    """Intersect the rays with an ellipsoid fixed to the head: |diag(1/r) (R^T (p - c_world))| = 1 with radii r."""
    middle = jnp.stack([jnp.float32(v) for v in center])
    r = jnp.stack([jnp.float32(v) for v in radii])
    world = face.center + face.rotation @ middle
    to_unit = face.rotation.T / r[:, None]
    offset = jnp.stack([canvas.x - world[0], canvas.y - world[1]])
    # The point of each ray at the depth of the center, in the space in which the ellipsoid is the unit sphere.
    start = jnp.einsum("ij,jhw->ihw", to_unit[:, :2], offset)
    along = to_unit[:, 2]
    a = along @ along
    b = jnp.einsum("i,ihw->hw", along, start)
    quadric = jnp.sum(start**2, 0) - b**2 / a  # 1 on the silhouette, which is an ellipse in the image
    depth = (-b + jnp.sqrt(a * jnp.maximum(1.0 - quadric, 1e-6))) / a
    unit = start + depth[None] * along[:, None, None]
    normal = jnp.einsum("ji,ihw->jhw", face.rotation, unit / r[:, None, None])
    normal = normal / jnp.sqrt(jnp.sum(normal**2, 0, keepdims=True) + 1e-8)
    # First-order distance to the silhouette, (q - 1) / |grad q|, with grad q = 2 M^T (start - along b / a).
    gradient = 2.0 * jnp.einsum("ij,ihw->jhw", to_unit[:, :2], start - along[:, None, None] * b[None] / a)
    distance = (quadric - 1.0) / jnp.sqrt(jnp.sum(gradient**2, 0) + 1e-6)
    x, y, z = unit * r[:, None, None] + middle[:, None, None]
    return _Surface(canvas.coverage(distance), x, y, z, normal, depth)


def _paint(picture: Picture, color: Array, alpha: Plane) -> Picture:
    """Blend a color, or a color for each pixel, over the picture."""
    color = color[None, None, :] if color.ndim == 1 else color
    return picture + (color - picture) * alpha[..., None]


def _shade(color: Vector, surface: _Surface, ambient: float = 0.74, diffuse: float = 0.34) -> Picture:
    """Lambertian shading with one light from the upper left."""
    light = _LIGHT / np.linalg.norm(_LIGHT)
    cosine = jnp.clip(jnp.einsum("i,ihw->hw", jnp.asarray(light), surface.normal), 0.0, 1.0)
    return color[None, None, :] * (ambient + diffuse * cosine)[..., None]


def _smoothstep(value: Plane, softness: float) -> Plane:
    return jax.nn.sigmoid(value / softness)


def _ellipse(x: Plane, y: Plane, half_width: Scalar | float, half_height: Scalar | float) -> Plane:
    """First-order signed distance to an axis-aligned ellipse."""
    u, v = x / half_width, y / half_height
    radius = jnp.sqrt(u**2 + v**2 + 1e-8)
    slope = jnp.sqrt((u / half_width) ** 2 + (v / half_height) ** 2 + 1e-8) / radius
    return (radius - 1.0) / slope


def _backdrop(canvas: _Canvas, face: Face) -> Picture:
    return face.background[None, None, :] * (1.0 + 0.10 * canvas.y - 0.08 * canvas.x**2)[..., None]


def _cap(canvas: _Canvas, face: Face) -> _Surface:
    return _ellipsoid(canvas, face, (0.0, 0.10, -0.06), (face.width + 0.055, 0.60, 0.575))


def _back_hair(picture: Picture, canvas: _Canvas, face: Face) -> Picture:
    long = face.hair_length
    back = _ellipsoid(
        canvas, face, (0.0, -0.02 - 0.30 * long, -0.16), (face.width + 0.06 + 0.05 * long, 0.50 + 0.24 * long, 0.42)
    )
    picture = _paint(picture, _shade(0.80 * face.hair, back), back.coverage)
    cap = _cap(canvas, face)  # its inside, seen past the temples
    return _paint(picture, 0.66 * face.hair, cap.coverage * canvas.coverage(-0.10 - cap.y))


def _body(picture: Picture, canvas: _Canvas, face: Face) -> Picture:
    x, y = canvas.x, canvas.y
    flare = jnp.clip(-0.52 - y, 0.0, 1.0)
    neck = jnp.maximum(jnp.abs(x - 0.4 * face.center[0]) - 0.17 - 0.12 * flare, y + 0.2)
    shadow = 0.80 + 0.20 * jnp.clip(-y - 0.5, -0.5, 0.5)
    picture = _paint(picture, face.skin[None, None, :] * shadow[..., None], canvas.coverage(neck))
    shoulders = canvas.coverage(_ellipse(x, y + 1.06, 0.72, 0.56))
    collar = _ellipse(x, y + 0.53, 0.22, 0.13)
    cloth = face.clothing[None, None, :] * (1.0 - 0.14 * x - 0.20 * x**2)[..., None]
    picture = _paint(picture, cloth, shoulders * (1.0 - canvas.coverage(collar)))
    return _paint(picture, 0.74 * cloth, shoulders * canvas.coverage(jnp.abs(collar) - 0.018))


def _head(picture: Picture, canvas: _Canvas, face: Face) -> Picture:
    skull = _ellipsoid(canvas, face, (0.0, 0.08, -0.02), (face.width, 0.55, 0.54))
    jaw = _ellipsoid(canvas, face, (0.0, -0.22, 0.04), (0.82 * face.width, 0.41, 0.49))
    nearer = _smoothstep((skull.depth - 4.0 * (1.0 - skull.coverage)) - (jaw.depth - 4.0 * (1.0 - jaw.coverage)), 0.04)
    surface = jax.tree.map(lambda s, j: j + jnp.broadcast_to(nearer, s.shape) * (s - j), skull, jaw)
    rim = (1.0 - surface.normal[2]) ** 2
    skin = _shade(face.skin, surface) * (1.0 - 0.15 * rim)[..., None]
    skin = _cheeks(skin, surface, face)
    for side in (-1.0, 1.0):
        skin = _eye(skin, canvas, surface, face, side)
        skin = _brow(skin, canvas, surface, face, side)
    skin = _mouth(skin, canvas, surface, face)
    return _paint(picture, skin, jnp.maximum(skull.coverage, jaw.coverage))


def _cheeks(skin: Picture, surface: _Surface, face: Face) -> Picture:
    blush = face.skin * jnp.array([1.02, 0.74, 0.70])
    for side in (-1.0, 1.0):
        alpha = 0.42 * jnp.exp(-(((surface.x - side * 0.27) / 0.11) ** 2) - ((surface.y + 0.17) / 0.085) ** 2)
        skin = _paint(skin, blush, alpha)
    return skin


def _eye(skin: Picture, canvas: _Canvas, surface: _Surface, face: Face, side: float) -> Picture:
    """A full eyeball opening whose upper lid comes down over it; the lid's line ends with the eye."""
    x, y = surface.x - side * 0.195, surface.y - 0.045
    width, height = face.eye, 1.02 * face.eye
    opening = canvas.coverage(_ellipse(x, y, width, height))
    iris = _ellipse(x, y, 0.62 * width, 0.62 * width)
    ball = _paint(jnp.ones_like(skin) * 0.98, jnp.array([0.13, 0.33, 0.62]), canvas.coverage(iris))
    ball = _paint(ball, jnp.array([0.05, 0.05, 0.08]), canvas.coverage(_ellipse(x, y, 0.34 * width, 0.34 * width)))
    ball = _paint(ball, jnp.ones(3), canvas.coverage(_ellipse(x + 0.02, y - 0.03, 0.24 * width, 0.24 * width)))
    arc = jnp.sqrt(jnp.clip(1.0 - (x / width) ** 2, 1e-4, 1.0))
    lid = y - face.lid * height * arc  # positive above the lid's edge
    eye = _paint(ball, 0.84 * face.skin, canvas.coverage(-lid))
    skin = _paint(skin, eye, opening)
    lashes = jnp.maximum(jnp.abs(lid) - 0.017, jnp.abs(x) - 1.06 * width)
    return _paint(skin, jnp.array([0.10, 0.07, 0.07]), 0.95 * canvas.coverage(lashes))


def _brow(skin: Picture, canvas: _Canvas, surface: _Surface, face: Face, side: float) -> Picture:
    x, y = side * surface.x - 0.195, surface.y - 0.045
    ridge = face.brow_height - 1.2 * x**2 - 0.10 * x
    bar = jnp.maximum(jnp.abs(y - ridge) - face.brow * (1.0 - 1.2 * x), jnp.abs(x) - 0.125)
    return _paint(skin, 0.55 * face.hair, canvas.coverage(bar))


def _mouth(skin: Picture, canvas: _Canvas, surface: _Surface, face: Face) -> Picture:
    """Lips around an opening, both lenses about one parabola that bends with the smile."""
    width = 0.185 + 0.035 * face.smile - 0.15 * face.mouth
    t = jnp.clip(surface.x / width, -1.0, 1.0)
    lens = jnp.sqrt(1.0 - t**2 + 1e-3)
    bend = 0.105 * face.smile
    y = surface.y + 0.315 + 0.35 * face.mouth - bend * (t**2 - 0.4)
    slope = jnp.sqrt(1.0 + (2.0 * bend * t / width) ** 2)  # makes distances across the parabola true ones
    ends = jnp.abs(surface.x) - width
    lips = jnp.maximum((jnp.abs(y) - (face.mouth + 0.046) * lens) / slope, ends)
    inside = jnp.maximum((jnp.abs(y) - face.mouth * lens) / slope, ends)
    depth = jnp.clip(face.mouth / 0.02, 0.0, 1.0)  # a closed mouth is a line
    seam = jnp.maximum(jnp.abs(y) / slope - 0.008, jnp.abs(surface.x) - 0.9 * width)
    skin = _paint(skin, (0.55 + 0.45 * face.skin) * face.lips, canvas.coverage(lips))
    skin = _paint(skin, 0.35 * face.lips, (1.0 - depth) * canvas.coverage(seam))
    cavity = jnp.broadcast_to(jnp.array([0.26, 0.04, 0.07]), skin.shape)
    cavity = _paint(cavity, jnp.array([0.97, 0.96, 0.94]), canvas.coverage(0.30 * face.mouth - y))
    cavity = _paint(cavity, jnp.array([0.80, 0.34, 0.36]), canvas.coverage(y + 0.55 * face.mouth))
    return _paint(skin, cavity, depth * canvas.coverage(inside))


def _nose(picture: Picture, canvas: _Canvas, face: Face) -> Picture:
    nose = _ellipsoid(canvas, face, (0.0, -0.105, 0.52), (0.068, 0.075, 0.11))
    shadow = _ellipsoid(canvas, face, (0.0, -0.14, 0.49), (0.085, 0.065, 0.08))
    picture = _paint(picture, 0.70 * face.skin, 0.6 * shadow.coverage)
    tint = face.skin * jnp.array([1.02, 0.94, 0.92])
    return _paint(picture, _shade(tint, nose, ambient=0.76, diffuse=0.40), nose.coverage)


def _hair(picture: Picture, canvas: _Canvas, face: Face) -> Picture:
    """A cap about the skull: a swept fringe in front, curtains at the sides that grow with the hair's length."""
    cap = _cap(canvas, face)
    fringe = 0.45 - 0.06 * jnp.sin(4.0 * cap.x + 1.2)
    # A side that is turned away shows no curtain: its sliver along the outline would only flicker.
    facing = _smoothstep(face.rotation[2, 0] * jnp.sign(cap.x) + 0.14, 0.04)
    side = facing * _smoothstep(0.33 * jnp.abs(cap.x) - cap.z, 0.04)
    edge = fringe * (1.0 - side) + (-0.10 - 0.42 * face.hair_length) * side
    gloss = 0.14 * jnp.exp(-(((cap.normal[1] - 0.62) / 0.15) ** 2)) * (0.35 + jnp.mean(face.hair))
    color = _shade(face.hair, cap, ambient=0.72, diffuse=0.40) + gloss[..., None]
    return _paint(picture, color, cap.coverage * canvas.coverage(0.8 * (edge - cap.y)))
