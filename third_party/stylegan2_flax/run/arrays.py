"""Trees of arrays by the names of their leaves."""

import jax
from jaxtyping import PyTree


def named(tree: PyTree) -> dict[str, PyTree]:
    """The leaves of a tree by their paths, in its order."""
    return {"/".join(map(_name, path)): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


class Misfit(ValueError):
    """Arrays of another model than the one that is wanted."""


def check_shapes(origin: str, stored: dict[str, PyTree], wanted: dict[str, PyTree]) -> None:
    """Raise a Misfit that names the first array whose shape at its `origin` is not the wanted one."""
    for name in sorted(stored.keys() | wanted.keys()):
        there, here = (tuple(arrays[name].shape) if name in arrays else "none" for arrays in (stored, wanted))
        if there != here:
            raise Misfit(f"{origin} does not fit the config: {name} has shape {there} there; the config gives {here}")


def abstract(tree: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
    """Shapes, dtypes and a sharding in the place of arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def _name(entry: object) -> str:
    # A dict's key, a named tuple's field and a list's index, all alike: storing a tree may turn one into another.
    return str(next(getattr(entry, kind) for kind in ("key", "name", "idx") if hasattr(entry, kind)))
