"""Saving and loading of an autoencoder as a safetensors file, with names such as `encoder/trunk/blocks/0/up/kernel`."""

import jax
import numpy as np
from flax import nnx

from disentangle_jax import arrays
from disentangle_jax.model.autoencoder import Autoencoder
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run.trees import check_shapes, leaves_by_path


def save(autoencoder: Autoencoder, path: AnyPath) -> None:
    """Write all parameters, and the statistics of the latents."""
    tree = nnx.to_pure_dict(nnx.state(autoencoder))
    arrays.save(path, {name: np.asarray(array) for name, array in leaves_by_path(tree).items()})


def load(abstract: Autoencoder, path: AnyPath) -> Autoencoder:
    """Read a file that `save` wrote.

    Args:
        abstract: an autoencoder from `nnx.eval_shape`, which gives the names and shapes.
        path: the file.

    Raises:
        ValueError: the file is damaged, or has other names or shapes.
    """
    graphdef, state = nnx.split(abstract)
    target = nnx.to_pure_dict(state)
    stored, _ = arrays.load(path)
    check_shapes(str(path), leaves_by_path(stored), leaves_by_path(target))
    leaves = [jax.numpy.asarray(stored[name]) for name in leaves_by_path(target)]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(target), leaves))
