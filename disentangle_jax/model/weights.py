"""An autoencoder's arrays as one safetensors file, under readable names such as `encoder/trunk/blocks/0/up/kernel`."""

from pathlib import Path

import jax
import numpy as np
from flax import nnx

from disentangle_jax import arrays
from disentangle_jax.model.autoencoder import Autoencoder
from stylegan2_flax.run.trees import check_shapes, leaves_by_path


def save(autoencoder: Autoencoder, path: Path) -> None:
    """Write all arrays, parameters and statistics of the latents."""
    tree = nnx.to_pure_dict(nnx.state(autoencoder))
    arrays.save(path, {name: np.asarray(array) for name, array in leaves_by_path(tree).items()})


def load(abstract: Autoencoder, path: Path) -> Autoencoder:
    """Read a file of `save` into the form of `abstract` (an autoencoder from `nnx.eval_shape`).

    Raises:
        ValueError: the file is broken, or of an autoencoder of another form.
    """
    graphdef, state = nnx.split(abstract)
    target = nnx.to_pure_dict(state)
    stored, _ = arrays.load(path)
    check_shapes(str(path), leaves_by_path(stored), leaves_by_path(target))
    leaves = [jax.numpy.asarray(stored[name]) for name in leaves_by_path(target)]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(target), leaves))
