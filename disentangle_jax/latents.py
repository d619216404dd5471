"""Sampling of latents (ws) from a generator."""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches

_BATCH = 64
_MANY = 4096  # w per batch where only moments are kept
_LABELS = int.from_bytes(b"labl")  # folded into a key, so that labels are independent of all other draws


def sample_ws(
    mapping: sg2.MappingNetwork, key: PRNGKeyArray, n: int, truncation_psi: float, classes: Sequence[int] = ()
) -> Float[Array, "n l d"]:
    """Sample the ws of n faces, in batches of bounded memory. All layers of a face have the same w.

    Args:
        mapping: the generator's mapping network.
        key: random key.
        n: number of faces.
        truncation_psi: 1 leaves latents as they are, 0 gives the mean latent.
        classes: of a conditional generator, the classes to draw from uniformly; empty for all.

    Raises:
        ValueError: the network has no such class.
    """
    z = jax.random.normal(key, (n, mapping.z_dim))
    labels = sample_labels(mapping, key, n, classes)
    inputs = (z,) if labels is None else (z, labels)
    return jnp.asarray(in_batches(partial(_map, mapping, truncation_psi), _BATCH, *inputs))


def sample_mixed_ws(
    mapping: sg2.MappingNetwork,
    key: PRNGKeyArray,
    n: int,
    truncation_psi: float,
    style_mixing: float,
    classes: Sequence[int] = (),
) -> Float[Array, "n l d"]:
    """Sample the ws of n faces, some of which take the layers from a random cut on from a second face.

    Args:
        mapping, key, n, truncation_psi, classes: see `sample_ws`.
        style_mixing: probability in [0, 1] that a face is mixed.
    """
    k_z, k_cut, k_mix = jax.random.split(key, 3)
    z = jax.random.normal(k_z, (2 * n, mapping.z_dim))
    ws = mapping(z, sample_labels(mapping, k_z, 2 * n, classes), truncation_psi=truncation_psi)
    num_ws = ws.shape[1]
    cut = jax.random.randint(k_cut, (n,), 1, num_ws)
    mixed = jax.random.bernoulli(k_mix, style_mixing, (n,))
    return take_layers_from(jnp.where(mixed, cut, num_ws), ws[:n], ws[n:])


def sample_w_batches(
    mapping: sg2.MappingNetwork, key: PRNGKeyArray, n: int, truncation_psi: float, classes: Sequence[int] = ()
) -> Iterator[Float[Array, "_ d"]]:
    """Sample n w, one batch at a time. For the arguments see `sample_ws`."""
    for start in range(0, n, _MANY):
        batch_key = jax.random.fold_in(key, start)
        z = jax.random.normal(batch_key, (_MANY, mapping.z_dim))
        yield _map(mapping, truncation_psi, z, sample_labels(mapping, batch_key, _MANY, classes))[: n - start, 0]


def sample_labels(
    mapping: sg2.MappingNetwork, key: PRNGKeyArray, n: int, classes: Sequence[int]
) -> Float[Array, "n c"] | None:
    """Sample one-hot labels for n faces, uniformly from `classes`, or from all classes if it is empty.

    Returns None for an unconditional network. Raises ValueError if the network has no such class.
    """
    check_classes(mapping, classes)
    if mapping.c_dim == 0:
        return None
    choice = jax.random.randint(jax.random.fold_in(key, _LABELS), (n,), 0, len(classes) or mapping.c_dim)
    chosen = jnp.asarray(classes)[choice] if len(classes) else choice
    return jax.nn.one_hot(chosen, mapping.c_dim)


def check_classes(mapping: sg2.MappingNetwork, classes: Sequence[int]) -> None:
    """Raise ValueError if the network has no such class."""
    if unknown := [number for number in classes if not 0 <= number < mapping.c_dim]:
        has = f"has the classes 0 to {mapping.c_dim - 1}" if mapping.c_dim else "is not conditional: it has no classes"
        raise ValueError(f"there is no class {', '.join(map(str, unknown))}: this generator {has}")


def take_layers_from(
    cut: Int[Array, "n"], ws: Float[Array, "n l d"], others: Float[Array, "n l d"]
) -> Float[Array, "n l d"]:
    """Style mixing: the layers from `cut` on come from another face (0: all of them, l: none)."""
    return jnp.where((jnp.arange(ws.shape[1])[None, :] < cut[:, None])[..., None], ws, others)


@partial(jax.jit, static_argnames="truncation_psi")
def _map(
    mapping: sg2.MappingNetwork,
    truncation_psi: float,
    z: Float[Array, "n z"],
    labels: Float[Array, "n c"] | None = None,
) -> Float[Array, "n l d"]:
    return mapping(z, labels, truncation_psi=truncation_psi)
