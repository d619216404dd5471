"""The anatomy of a parametric face: the geometry and the colors that its factors define."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.faces.factors import APPEARANCE, STRUCTURE, Factors

Vector = Float[Array, "3"]
Scalar = Float[Array, ""]

_HEAD_CENTER = np.array([0.0, 0.04, 0.0], np.float32)

# Each palette is a path through colors that does not return, so that a color determines its factor.
_SKIN = np.array([(1.00, 0.87, 0.77), (0.95, 0.74, 0.59), (0.80, 0.57, 0.41), (0.58, 0.38, 0.26), (0.38, 0.24, 0.17)])
_HAIR = np.array([(0.09, 0.08, 0.10), (0.34, 0.19, 0.11), (0.68, 0.27, 0.11), (0.95, 0.75, 0.34), (0.84, 0.85, 0.90)])
_LIPS = np.array([(0.88, 0.58, 0.50), (0.86, 0.16, 0.24), (0.50, 0.05, 0.36)])
_CLOTHING = np.array(
    [
        (0.16, 0.22, 0.55),
        (0.10, 0.55, 0.62),
        (0.30, 0.66, 0.30),
        (0.96, 0.77, 0.22),
        (0.87, 0.25, 0.20),
        (0.55, 0.20, 0.58),
    ]
)
_BACKGROUND = np.array(
    [(0.97, 0.85, 0.68), (0.78, 0.91, 0.70), (0.62, 0.86, 0.93), (0.72, 0.74, 0.97), (0.96, 0.74, 0.88)]
)


class Face(NamedTuple):
    """The geometry and colors of a face: colors in [0, 1], lengths in scene units, angles in radians."""

    skin: Vector
    hair: Vector
    lips: Vector
    clothing: Vector
    background: Vector
    hair_length: Scalar  # 0 at the ears, 1 at the shoulders
    width: Scalar
    eye: Scalar  # half width of an eye
    brow: Scalar  # half thickness of a brow
    rotation: Float[Array, "3 3"]  # head to world
    center: Vector
    smile: Scalar  # -1 .. 1
    mouth: Scalar  # half height of the opening
    lid: Scalar  # height of the upper lid over the eye's middle, in eye heights: -0.8 shut, 1 wide open
    brow_height: Scalar  # of a brow over the eye


def anatomy(factors: Factors) -> Face:
    """The face with these factors, [9] of appearance and [7] of structure."""
    look = dict(zip(APPEARANCE, factors.appearance, strict=True))
    pose = dict(zip(STRUCTURE, factors.structure, strict=True))
    drift = jnp.stack([0.05 * pose["yaw"], 0.015 * pose["pitch"], 0.0 * pose["roll"]])  # the neck bends too
    return Face(
        skin=_color(_SKIN, look["skin"]),
        hair=_color(_HAIR, look["hair_color"]),
        lips=_color(_LIPS, look["lip_color"]),
        clothing=_color(_CLOTHING, look["clothing"]),
        background=_color(_BACKGROUND, look["background"]),
        hair_length=0.5 + 0.5 * look["hair_length"],
        width=0.45 + 0.075 * look["face_width"],
        eye=0.118 + 0.034 * look["eye_size"],
        brow=0.032 + 0.019 * look["brow_thickness"],
        rotation=_rotation(0.42 * pose["yaw"], -0.28 * pose["pitch"], 0.20 * pose["roll"]),
        center=jnp.asarray(_HEAD_CENTER) + drift,
        smile=pose["smile"],
        mouth=0.052 * (1.0 + pose["mouth_open"]),
        lid=0.15 + 0.85 * pose["eye_open"],
        brow_height=0.215 + 0.072 * pose["brow_raise"],
    )


def _color(palette: np.ndarray, value: Scalar) -> Vector:
    """The color of a palette at the value of a factor, by linear interpolation."""
    stops = jnp.linspace(-1.0, 1.0, len(palette))
    return jnp.stack([jnp.interp(value, stops, jnp.asarray(channel, jnp.float32)) for channel in palette.T])


def _rotation(yaw: Scalar, pitch: Scalar, roll: Scalar) -> Float[Array, "3 3"]:
    """Head to world: Rz(roll) Ry(yaw) Rx(pitch)."""
    (cx, cy, cz), (sx, sy, sz) = (jnp.stack([f(a) for a in (pitch, yaw, roll)]) for f in (jnp.cos, jnp.sin))
    zero, one = jnp.zeros_like(cx), jnp.ones_like(cx)
    rx = jnp.stack([one, zero, zero, zero, cx, -sx, zero, sx, cx]).reshape(3, 3)
    ry = jnp.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy]).reshape(3, 3)
    rz = jnp.stack([cz, -sz, zero, sz, cz, zero, zero, zero, one]).reshape(3, 3)
    return rz @ ry @ rx
