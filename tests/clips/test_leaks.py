"""The leaks of a naive reading of the method, each with the naive setting and without it.

Linear encoders on Gaussian latents, trained by the project's losses in a second, and linear probes of what they tell.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from disentangle_jax.configs import faces64
from disentangle_jax.directions import Directions
from disentangle_jax.model import losses

CONFIG = faces64.get_config()
CONTRAST = CONFIG.loss.structure_contrast.to_dict()
STEPS = 400


def train(loss, inputs, outputs, sample):
    """A linear encoder [inputs, outputs] that makes loss(encoder, sample(key)) small."""
    optimizer = optax.adam(0.05)
    encoder = 0.3 * jax.random.normal(jax.random.key(0), (inputs, outputs))

    def step(carry, key):
        encoder, state = carry
        updates, state = optimizer.update(jax.grad(loss)(encoder, sample(key)), state)
        return (optax.apply_updates(encoder, updates), state), None

    with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
        (encoder, _), _ = jax.jit(partial(jax.lax.scan, step))(
            (encoder, optimizer.init(encoder)), jax.random.split(jax.random.key(1), STEPS)
        )
    return np.asarray(encoder)


def explained(features, targets):
    """R^2 of the targets, by least squares on the features, over the half of the rows that was not fitted to."""
    x, y = np.c_[np.asarray(features, np.float64), np.ones(len(features))], np.asarray(targets, np.float64)
    half = len(x) // 2
    rest = y[half:] - x[half:] @ np.linalg.lstsq(x[:half], y[:half], rcond=None)[0]
    return 1 - rest.var(0).sum() / y[half:].var(0).sum()


def unit(codes):
    return codes / np.linalg.norm(codes, axis=-1, keepdims=True)


def faces_in_motion(key, another_face, clips=16, frames=4):
    """Latents of structure [2], coarse [3] and fine [3] looks, and a constant, which encoders use as a bias; the
    augmented frames have all looks of another face, or the fine ones.
    """
    keys = jax.random.split(key, 4)
    structure = jax.random.normal(keys[0], (clips, frames, 2))
    coarse, fine = (jnp.broadcast_to(jax.random.normal(k, (clips, 1, 3)), (clips, frames, 3)) for k in keys[1:3])
    others = jax.random.normal(keys[3], (2, clips, frames, 3))
    bias = jnp.ones((clips, frames, 1))
    ws = jnp.concatenate([structure, coarse, fine, bias], axis=-1)
    augmented = jnp.concatenate([structure, others[0] if another_face else coarse, others[1], bias], axis=-1)
    return ws, augmented, structure


def identity_in_structure(negatives, another_face):
    """Share of the variance of a structure code that coarse looks explain, if it was trained with these negatives."""
    options = {**CONTRAST, "negatives": negatives}

    def loss(encoder, clips):
        ws, augmented, structure = clips
        return losses.structure_contrast(ws @ encoder, augmented @ encoder, structure, **options)

    encoder = train(loss, 9, 4, partial(faces_in_motion, another_face=another_face))
    sample = jax.jit(partial(faces_in_motion, another_face=another_face, clips=400, frames=1))
    ws, _, structure = (np.asarray(x).reshape(-1, x.shape[-1]) for x in sample(jax.random.key(2)))
    codes = unit(ws @ encoder)
    assert explained(codes, structure) > 0.6  # it has learnt what it should, whatever else it has learnt
    return explained(ws[:, 2:5], codes)


def test_looks_that_augmentations_keep_are_taught_by_negatives_from_other_clips():
    """They tell a frame from all frames of other clips, but not from those of its own; another face keeps none."""
    assert (CONTRAST["negatives"], CONFIG.clips.change_face) == ("batch", 1.0)
    assert identity_in_structure("batch", another_face=False) > 0.25
    assert identity_in_structure("batch", another_face=True) < 0.03
    assert identity_in_structure("clip", another_face=False) < 0.03


def motion_of_a_face(key, coordinates, clips=32, frames=4):
    """Clips of Gaussian faces [12] whose first two entries are the pose, and the pose that each face had of its own."""
    k_face, k_path = jax.random.split(key)
    faces = jax.random.normal(k_face, (clips, 12))
    axes = jnp.eye(12)[:2, None]
    directions = Directions(axes, axes, jnp.zeros((1, 12)), ("yaw", "pitch"))
    path = jax.random.normal(k_path, (clips, frames, 2))
    own = directions.coordinates(faces[:, None])
    start = own[:, None] if coordinates == "offset" else jnp.zeros((1, 1, 2))
    still = jnp.broadcast_to(faces[:, None, None], (clips, frames, 1, 12))
    return directions.move(still, start + path)[:, :, 0], own


def own_pose_in_appearance(coordinates):
    """R^2 of the pose that a face had before it was moved, from a trained appearance code of one frame."""

    def loss(encoder, clips):
        return losses.appearance_contrast(clips[0] @ encoder, **CONFIG.loss.appearance_contrast)

    encoder = train(loss, 12, 12, partial(motion_of_a_face, coordinates=coordinates))
    ws, own = jax.jit(partial(motion_of_a_face, coordinates=coordinates, clips=1000))(jax.random.key(2))
    return explained(unit(np.asarray(ws)[:, 0] @ encoder), own)


def test_offsets_leave_the_pose_of_the_base_face_in_appearance():
    assert CONFIG.clips.coordinates == "absolute"
    leak, default = own_pose_in_appearance("offset"), own_pose_in_appearance("absolute")
    assert leak > 0.1
    assert default < 0.02


def pose_in_appearance(each):
    """R^2 of the pose of a face, whose two layers both show it, from an appearance code of these clips.

    The picture follows the first layer alone, so a scorer's directions on mixed faces, whose layers can be told apart,
    move that; on faces of one w they move both layers. Either way the clip shows the same motion.
    """
    axes = np.eye(6, dtype=np.float32)[:2, None]  # the pose, two entries of each layer
    vectors = np.concatenate([axes, axes if each else np.zeros_like(axes)], axis=1)
    vectors, normals = (jnp.asarray(x) for x in (vectors, vectors / (2 if each else 1)))
    directions = Directions(vectors, normals, jnp.zeros((2, 6)), ("yaw", "pitch"))
    move = directions.move_each_layer if each else directions.move

    def faces(key, n):
        return jnp.broadcast_to(jax.random.normal(key, (n, 1, 6)), (n, 2, 6))

    def clips(key):
        k_face, k_path = jax.random.split(key)
        path = jax.random.normal(k_path, (32, 4, 2))
        return move(jnp.broadcast_to(faces(k_face, 32)[:, None], (32, 4, 2, 6)), path).reshape(32, 4, 12)

    def loss(encoder, ws):
        return losses.appearance_contrast(ws @ encoder, **CONFIG.loss.appearance_contrast)

    ws = np.broadcast_to(np.random.default_rng(2).normal(size=(1000, 1, 6)), (1000, 2, 6))
    codes = unit(ws.reshape(1000, 12) @ train(loss, 12, 4, clips))  # as wide as what does not move
    assert explained(codes, ws[:, 0, 2:]) > 0.4
    return explained(codes, ws[:, 0, :2])


def test_layers_that_do_not_move_leave_the_pose_in_appearance():
    leak, each = pose_in_appearance(each=False), pose_in_appearance(each=True)
    assert leak > 0.2
    assert each < 0.03


def test_near_frames_are_false_negatives():
    """Two and two frames of a clip show the same structure. Told to part them, a code of structure alone does worse
    than one that also marks the frame, whatever the mark; told not to, it has nothing to gain from marks.
    """
    assert CONTRAST["min_gap"] > 0
    angles = np.array([0.0, 0.05, 2.0, 2.05], np.float32)
    structure = np.broadcast_to(np.stack([np.cos(angles), np.sin(angles)], axis=-1), (8, 4, 2))
    coefficients = np.broadcast_to(angles[:, None], (8, 4, 1))

    def contrast(codes, min_gap):
        loss = jax.jit(partial(losses.structure_contrast, **{**CONTRAST, "min_gap": min_gap}))
        return float(loss(codes, codes, coefficients))

    marked = np.concatenate([structure, np.broadcast_to(np.eye(4, dtype=np.float32), (8, 4, 4))], axis=-1)
    assert contrast(structure, 0.0) - contrast(marked, 0.0) > 0.5
    assert contrast(structure, CONTRAST["min_gap"]) - contrast(marked, CONTRAST["min_gap"]) < 0.01
