"""Every form of contrast against plain loops and Optax; in blocks and on eight devices against itself."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from disentangle_jax.model.contrast import FORMS, contrast

N, WIDTH, BLOCK = 24, 5, 8


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def pairs_of(one, other):
    """Rows of one class attract each other, all others repel; where labels are negative, as `irregular` says."""
    same = one["label"][:, None] == other["label"][None, :]
    positives, negatives = same & (one["row"][:, None] != other["row"][None, :]), ~same
    attract, repel = irregular(one["row"][:, None], other["row"][None, :])
    regular = one["label"][:, None] >= 0
    return positives & (regular | attract), negatives & (regular | repel)


def irregular(first, second):
    """Which pairs are left: rows 0 and 1 have no positive, rows 2 and 3 no negative."""
    alone, friendly = (first // 2 == 0) | (second // 2 == 0), (first // 2 == 1) | (second // 2 == 1)
    return ~alone & ((first + second) % 5 > 0), ~friendly & ((first + second) % 3 > 0)


def places(n, classes):
    row = np.arange(n, dtype=np.int32)
    return {"label": row % classes, "row": row}


@cache
def value_and_grad(form, block_size):
    """Of embeddings and temperature. All tests run these on arrays of one shape, so each is compiled once."""
    return jax.jit(
        jax.value_and_grad(lambda x, t, where: contrast(x, pairs_of, where, t, form, block_size), argnums=(0, 1))
    )


RATIOS = {
    "supcon_out": lambda p, n: (p.sum() + n.sum()) / p,
    "supcon_in": lambda p, n: (p.sum() + n.sum()) / p.mean(),
    "nt_xent": lambda p, n: (p + n.sum()) / p,
    "decoupled": lambda p, n: n.sum() / p,
    "triplet": lambda p, n: 1 + n.max() / p.min(),
}
"""Of the exponentials of the similarities to positives and negatives; the loss is the mean of the logarithm."""


def by_hand(x, positives, negatives, temperature, form):
    x = np.asarray(x, np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rows = zip(np.exp(x @ x.T / temperature), np.asarray(positives), np.asarray(negatives), strict=True)
    seen = [(s[p], s[n]) for s, p, n in rows if p.any() and (n.any() or form not in ("decoupled", "triplet"))]
    return np.mean([np.mean(np.log(RATIOS[form](p, n))) for p, n in seen])


@pytest.mark.parametrize("where", [places(N, 6), {**places(N, 6), "label": -1 - np.arange(N, dtype=np.int32) % 6}])
@pytest.mark.parametrize("form", FORMS)
def test_forms_are_what_their_formulas_say_whole_and_in_blocks(form, where):
    """By embeddings and temperature, blocks have a derivative written by hand, the whole the one that JAX finds."""
    x = normal(0, N, WIDTH)
    value, gradients = value_and_grad(form, 0)(x, 0.3, where)
    np.testing.assert_allclose(value, by_hand(x, *pairs_of(where, where), 0.3, form), rtol=1e-5)
    in_blocks, theirs = value_and_grad(form, BLOCK)(x, 0.3, where)
    np.testing.assert_allclose(in_blocks, value, rtol=1e-6)
    assert_close(theirs, gradients)


def assert_close(gradients, others):
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("form", ["supcon_out", "supcon_in", "nt_xent"])
@pytest.mark.parametrize("block_size", [0, BLOCK])
def test_one_positive_each_is_ntxent(form, block_size):
    x, where = normal(2, N, WIDTH), places(N, N // 2)
    value, (gradient, _) = value_and_grad(form, block_size)(x, 0.2, where)
    expected = ntxent(x, where["label"], 0.2)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-5)


def test_several_positives_each_are_ntxent_in_that_form_alone():
    x, where = normal(3, N, WIDTH), places(N, 6)
    expected, _ = ntxent(x, where["label"], 0.2)
    values = {form: float(value_and_grad(form, 0)(x, 0.2, where)[0]) for form in FORMS}
    np.testing.assert_allclose(values.pop("nt_xent"), expected, rtol=1e-5)
    assert all(abs(value - float(expected)) > 0.01 for value in values.values())


def ntxent(x, labels, temperature):
    with jax.numpy_dtype_promotion("standard"):
        return NTXENT(x, labels, temperature)


NTXENT = jax.jit(jax.value_and_grad(optax.losses.ntxent))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("block_size", [0, BLOCK])
def test_edges_are_finite(form, block_size):
    """Codes of no length, of hardly any and of a great one; a low temperature; no anchor at all."""
    size = np.repeat(np.array([0.0, 1e-20, 1e15], np.float32), N // 3)
    x, run = normal(0, N, WIDTH) * size[:, None], value_and_grad(form, block_size)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run(x, 0.001, places(N, 3))))
    value, (gradient, _) = run(x, 0.1, places(N, N))
    assert value == 0
    assert not np.any(gradient)


def test_what_makes_no_sense_is_refused():
    x, where = jax.tree.map(jnp.asarray, (normal(0, N, WIDTH), places(N, 6)))
    with pytest.raises(
        ValueError, match="no form of contrast 'npair'; choose one of supcon_out, supcon_in, nt_xent, de"
    ):
        contrast(x, pairs_of, where, 0.1, "npair", 0)
    for block_size in (-1, 5, 2 * N):
        with pytest.raises(ValueError, match=rf"blocks of {block_size} do not divide 24 embeddings"):
            contrast(x, pairs_of, where, 0.1, "supcon_out", block_size)


def temporaries(n, block_size):
    x = jax.ShapeDtypeStruct((n, 16), np.float32)
    memory = value_and_grad("supcon_out", block_size).lower(x, 0.1, places(n, n // 4)).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


def test_memory_grows_with_the_batch_times_the_block():
    assert temporaries(4096, 64) < 2.5 * temporaries(2048, 64) < 0.2 * temporaries(2048, 0)


@pytest.mark.parametrize(
    ("form", "block_size"),
    [
        ("supcon_out", 0),
        *((form, BLOCK) for form in ("supcon_out", "nt_xent", "triplet")),
        *(pytest.param(form, 0, marks=pytest.mark.slow) for form in ("nt_xent", "triplet")),
    ],
)
def test_eight_devices_give_the_value_and_gradients_of_one(form, block_size, collectives):
    x, where = normal(4, N, WIDTH), places(N, 6)
    run = value_and_grad(form, block_size)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded_x, sharded_where = jax.device_put((x, where), NamedSharding(mesh, PartitionSpec("data")))
    compiled = run.lower(sharded_x, 0.3, sharded_where).compile()
    (value, gradients), (value8, gradients8) = run(x, 0.3, where), compiled(sharded_x, 0.3, sharded_where)
    np.testing.assert_allclose(value8, value, rtol=1e-6)
    assert_close(gradients8, gradients)
    sent = collectives(compiled)
    # Embeddings and labels are gathered, in blocks a few numbers an anchor too; nothing is sent within a loop, and in
    # blocks no gradient is summed over devices.
    assert {name for name, _ in sent} <= {"all-gather", "all-reduce"}
    assert sum(size for name, size in sent if name == "all-gather") <= N * (WIDTH + 2 + (5 if block_size else 0))
    assert sum(size for name, size in sent if name == "all-reduce") <= (0 if block_size else N * WIDTH) + 4
