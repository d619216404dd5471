"""The strided convolution and its derivatives, against what JAX makes of the plain operation."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stylegan2_flax.strided import strided_conv


def plain(x, kernel, stride):
    return lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "OIHW", "NHWC"))


def numbers(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(("stride", "taps"), [(2, 3), (2, 1), (3, 2), (1, 3)])
def test_derivatives_up_to_the_third_order(stride, taps):
    x, kernel = numbers(2, 9, 8, 3), numbers(4, 3, taps, taps)

    def derivatives(conv):
        def value(x, kernel):
            return jnp.sum(jnp.square(conv(x, kernel, stride)))

        def first(x, kernel):
            return sum(jnp.sum(jnp.square(slope)) for slope in jax.grad(value, (0, 1))(x, kernel))

        def second(x, kernel):
            return sum(jnp.sum(jnp.square(slope)) for slope in jax.grad(first, (0, 1))(x, kernel))

        return conv(x, kernel, stride), [jax.grad(f, (0, 1))(x, kernel) for f in (value, first, second)]

    results, expected = (jax.jit(lambda conv=conv: derivatives(conv))() for conv in (strided_conv, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max())), results, expected)


def test_no_image_is_convolved_with_an_image_after_zero_insertion():
    """That is what makes the gradient of R1 slow; the plain operation does it."""

    def slow_convolutions(conv):
        def penalty(kernel, x):
            return jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(jnp.square(conv(x, kernel, 2))))(x)))

        text = jax.jit(jax.grad(penalty)).lower(numbers(4, 3, 3, 3), numbers(2, 17, 17, 3)).as_text()
        zero_inserting = re.findall(
            r"convolution.*lhs_dilate = \[2, 2\].*: \(tensor<\w+>, tensor<([\dx]+)xf32>\)", text
        )
        assert zero_inserting
        return [kernel for kernel in zero_inserting if max(map(int, kernel.split("x"))) > 4]

    assert slow_convolutions(plain)
    assert not slow_convolutions(strided_conv)
