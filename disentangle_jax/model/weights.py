"""An autoencoder's arrays as one safetensors file, under readable names such as `encoder/trunk/blocks/0/up/kernel`."""

from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jaxtyping import PyTree
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from disentangle_jax import files
from disentangle_jax.model.autoencoder import Autoencoder


def save(autoencoder: Autoencoder, path: Path) -> None:
    """Write all arrays, parameters and statistics of the latents."""
    arrays = nnx.to_pure_dict(nnx.state(autoencoder))
    with files.atomic(path) as temporary:
        save_file({name: np.asarray(array) for name, array in named(arrays).items()}, temporary)


def load(abstract: Autoencoder, path: Path) -> Autoencoder:
    """Read a file of `save` into the form of `abstract` (an autoencoder from `nnx.eval_shape`).

    Raises:
        ValueError: the file is broken, or of an autoencoder of another form.
    """
    graphdef, state = nnx.split(abstract)
    target = nnx.to_pure_dict(state)
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one: {error}") from error
    check_shapes(str(path), named(stored), named(target))
    arrays = [jax.numpy.asarray(stored[name]) for name in named(target)]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(target), arrays))


def named(tree: PyTree) -> dict[str, PyTree]:
    """The leaves of a tree by their paths, in its order."""
    return {"/".join(map(_name, path)): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def check_shapes(origin: str, stored: dict[str, PyTree], wanted: dict[str, PyTree]) -> None:
    """Raise a ValueError that names the first array whose shape at its `origin` is not the wanted one."""
    for name in sorted(stored.keys() | wanted.keys()):
        there, here = (tuple(arrays[name].shape) if name in arrays else "none" for arrays in (stored, wanted))
        if there != here:
            raise ValueError(
                f"{origin} does not fit the config: {name} has shape {there} there; the config gives {here}"
            )


def _name(entry: object) -> str:
    # A dict's key, a named tuple's field and a list's index, all alike: storing a tree may turn one into another.
    return str(next(getattr(entry, kind) for kind in ("key", "name", "idx") if hasattr(entry, kind)))
