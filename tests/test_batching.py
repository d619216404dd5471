import numpy as np
import pytest

from disentangle_jax.batching import batched, in_batches


@pytest.mark.parametrize("n", [1, 4, 5, 11])
def test_batches_are_of_one_size_and_give_back_what_went_in(n):
    sizes = set()

    def double(x, y):
        sizes.add((len(x), len(y)))
        return {"sum": x + y}

    x = np.arange(2.0 * n).reshape(n, 2)
    assert np.array_equal(in_batches(double, 4, x, 10 * x)["sum"], 11 * x)
    assert sizes == {(4, 4)}


def test_items_come_in_batches():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
