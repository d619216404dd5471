"""Whether two pictures show the same person: embeddings by ArcFace (Deng et al. 2019, arXiv:1801.07698)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, Shaped

from disentangle_jax.inversion import pictures
from disentangle_jax.inversion.published import state_dict
from disentangle_jax.inversion.published.backbones import IR_UNITS, IRBackbone
from disentangle_jax.inversion.published.checkpoint import read_torch
from disentangle_jax.inversion.published.layers import BatchNorm, Linear
from stylegan2_flax import CheckpointError
from stylegan2_flax.checkpoints.source import Source

_SIZE, _WIDTH, _MAP = 112, 512, 7
_ALIGNED = 256
_ROWS, _COLUMNS = slice(35, 223), slice(32, 220)
"""Of an aligned crop of 256 px: the face as the network's training set shows it."""


class ArcFace(IRBackbone):
    """Faces [n, 112, 112, 3] in [-1, 1] to embeddings [n, 512] of length 1; those of one person point the same way."""

    def __init__(self, units: tuple[int, ...] = IR_UNITS[24]):
        super().__init__(3, "ir_se", units)
        head = {"0": BatchNorm(_WIDTH), "3": Linear(_WIDTH * _MAP * _MAP, _WIDTH), "4": BatchNorm(_WIDTH)}
        self.output_layer = nnx.Dict(head)

    def __call__(self, faces: Shaped[Array | np.ndarray, "..."]) -> Float[Array, "n 512"]:
        return _embed(self, pictures.checked(faces, "faces", ("n", _SIZE, _SIZE, 3)))


def load_arcface(path: Source) -> ArcFace:
    """Loads the identity network that pSp, e4e and ReStyle use, `model_ir_se50.pth`.

    Args:
        path: a file, or a URL that `stylegan2_flax.load` reads. It is read as data; no code in it is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds other arrays.
    """
    try:
        content = read_torch(path)
        if not isinstance(content, Mapping):
            raise CheckpointError("it holds no state dict, that is, no dictionary of arrays")
        arrays = state_dict.without_data_parallel(content)
        return state_dict.build(lambda: ArcFace(state_dict.ir_units(arrays)), arrays, "ArcFace on IR-SE")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def face_of(images: Shaped[Array | np.ndarray, "..."]) -> Float[Array, "n 112 112 3"]:
    """The face in FFHQ-aligned pictures [n, h, w, 3] of any square size, cut out as ArcFace's training set shows it."""
    images = pictures.checked(images, "images", ("n", "h", "w", 3))
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be square, as FFHQ's alignment makes them; got {list(images.shape)}")
    return _face_of(images)


def csim(
    arcface: ArcFace, images: Shaped[Array | np.ndarray, "..."], others: Shaped[Array | np.ndarray, "..."]
) -> Float[Array, " n"]:
    """CSIM, the cosine of the embeddings of each pair of pictures: 1 for the same, about 0 for strangers.

    Args:
        arcface: the identity network, from `load_arcface`.
        images, others: FFHQ-aligned pictures [n, h, w, 3] in [-1, 1], of any square sizes.
    """
    if len(images) != len(others):
        raise ValueError(f"CSIM is of pairs of pictures, got {len(images)} and {len(others)}")
    return jnp.sum(arcface(face_of(images)) * arcface(face_of(others)), axis=-1)


@jax.jit
def _embed(arcface: ArcFace, faces: Float[Array, "n h w c"]) -> Float[Array, "n 512"]:
    head = arcface.output_layer
    x = head["0"](arcface.maps(faces)[-1])
    x = head["4"](head["3"](x.transpose(0, 3, 1, 2).reshape(len(x), -1)))  # torch flattens [n, c, h, w]
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


@jax.jit
def _face_of(images: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    aligned = pictures.area_average(images, (_ALIGNED, _ALIGNED))
    return pictures.area_average(aligned[:, _ROWS, _COLUMNS], (_SIZE, _SIZE))
