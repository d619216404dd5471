"""Helpers for trees of arrays."""

import jax
from jaxtyping import PyTree


class ShapeMismatchError(ValueError):
    """Arrays that were read do not have the shapes of the model that the config describes."""


def leaves_by_path(tree: PyTree) -> dict[str, PyTree]:
    """The leaves of a tree under their paths, such as "encoder/kernel", in the tree's order.

    Dict keys, named tuple fields and list indices look alike, since saving a tree may turn one into another.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def check_shapes(
    source: str, found: dict[str, PyTree], expected: dict[str, PyTree], described_by: str = "the config"
) -> None:
    """Raise ShapeMismatchError if arrays do not have the expected names and shapes.

    Args:
        source: where the arrays were read from, for the error message.
        found: the arrays by path.
        expected: the model's arrays by path.
        described_by: what gives these, for the error message.
    """
    for name in sorted(found.keys() | expected.keys()):
        there, here = (tuple(arrays[name].shape) if name in arrays else "none" for arrays in (found, expected))
        if there != here:
            raise ShapeMismatchError(
                f"{source} does not fit {described_by}: {name} has shape {there} there; {described_by} gives {here}"
            )


def abstract(tree: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
    """The same tree with a `jax.ShapeDtypeStruct` of this sharding in place of each array."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
