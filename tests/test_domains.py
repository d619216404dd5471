"""Domains by the generator's name; a judge that reads a domain's factors in an order of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.domains import Domain, JudgedDomain, load_domain, search
from disentangle_jax.scorers import Factors, load_scorer


class Shapes:
    """Two factors that are the first entries of a latent, and pictures whose channels they are."""

    names = ("place", "hue")
    structure = ("place",)

    def truth(self, ws):
        return ws[..., 0, :2]

    def render(self, factors, resolution):
        return jnp.broadcast_to(factors[:, None, None], (len(factors), resolution, resolution, 2))

    def pose(self, ws, structure):
        return ws.at[0, 0].set(structure[0])


@jax.tree_util.register_static
class Backwards:
    """Reads the same factors in the other order."""

    names = ("hue", "place")
    structure = ("place",)

    def __call__(self, images):
        return images.mean((1, 2))[:, ::-1]


def test_the_bundled_generator_has_a_domain_and_files_have_none():
    domain = load_domain("faces64")
    assert isinstance(domain, Domain)
    assert len(domain.names) == 16
    assert load_domain("/some/where.pkl") is None


def test_a_judge_reads_in_the_order_of_the_domain():
    judged = JudgedDomain(Shapes(), Backwards(), 4)
    factors = Factors(appearance=jnp.array([[0.1], [0.2]]), structure=jnp.array([[0.3], [0.4]]))
    read = judged.read(judged.draw(factors))
    np.testing.assert_allclose(read.appearance, factors.appearance, rtol=1e-6)
    np.testing.assert_allclose(read.structure, factors.structure, rtol=1e-6)
    source, driving = jnp.array([[[0.1, 0.2]]]), jnp.array([[[0.3, 0.4]]])
    answer = judged.answer(source, driving)
    np.testing.assert_allclose([answer.appearance[0, 0], answer.structure[0, 0]], [0.2, 0.3], rtol=1e-6)


def test_a_judge_of_other_factors_is_refused():
    with pytest.raises(ValueError, match=r"the judge reads skin, .* but the domain's factors are place, hue"):
        JudgedDomain(Shapes(), load_scorer("judge_b"), 64)


def test_a_search_finds_the_nearest_latent_with_the_wanted_values():
    basis = jnp.diag(jnp.array([1.0, 2.0, 1.0]))
    ws = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), jnp.float32)
    found = search(lambda ws: ws.mean(0)[:2], ws, jnp.array([1.0, -1.0]), basis)
    np.testing.assert_allclose(found.mean(0)[:2], [1.0, -1.0], atol=0.03)
    np.testing.assert_allclose(found[:, 2], ws[:, 2], atol=1e-6)
    np.testing.assert_allclose(found[1] - found[0], ws[1] - ws[0], atol=1e-5)


def test_a_search_by_layer_moves_the_layers_that_are_read():
    ws = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)

    def read(ws):
        return (ws[0] + 3 * ws[1])[:2]

    found = search(read, ws, jnp.array([1.0, -1.0]), jnp.eye(4), alike=False)
    np.testing.assert_allclose(read(found), [1.0, -1.0], atol=0.03)
    np.testing.assert_allclose((found - ws)[1], 3 * (found - ws)[0], atol=1e-5)  # the least change
    np.testing.assert_array_equal(found[2], ws[2])
