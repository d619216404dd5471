"""A strided convolution whose derivatives of any order consist of three operations that are fast on every device.

R1 regularization differentiates the input gradient of strided convolutions. JAX's derivative is a convolution of a
dilated image with another image, which XLA runs slowly: on CPU the gradient of R1 of a 64 px discriminator took 3.3 s,
and takes 1.3 s here. Convolution, input gradient and kernel gradient are linear in each operand, and the derivatives of
each are the other two. Reverse mode only: `jax.jvp` raises an error.
"""

from functools import partial

import jax
from jax import Array, lax
from jaxtyping import Float


def _conv(x: Array, kernel: Array, stride: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def strided_conv(
    x: Float[Array, "n h w i"], kernel: Float[Array, "o i kh kw"], stride: int
) -> Float[Array, "n h2 w2 o"]:
    """Correlate x with the kernel at every stride-th pixel, without padding. Both must have the same dtype."""
    return _conv(x, kernel, stride)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _input_gradient(dy: Array, kernel: Array, stride: int, shape: tuple[int, ...]) -> Array:
    """The gradient by x, of this shape, given the gradient dy by the result."""
    x = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda x: _conv(x, kernel, stride), x)(dy)[0]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _kernel_gradient(x: Array, dy: Array, stride: int, shape: tuple[int, ...]) -> Array:
    """The gradient by the kernel, of this shape, given the gradient dy by the result."""
    kernel = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda kernel: _conv(x, kernel, stride), kernel)(dy)[0]


def _conv_backward(stride: int, operands: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = operands
    return _input_gradient(dy, kernel, stride, x.shape), _kernel_gradient(x, dy, stride, kernel.shape)


def _input_gradient_backward(
    stride: int, shape: tuple[int, ...], operands: tuple[Array, Array], dx: Array
) -> tuple[Array, Array]:
    dy, kernel = operands
    return strided_conv(dx, kernel, stride), _kernel_gradient(dx, dy, stride, kernel.shape)


def _kernel_gradient_backward(
    stride: int, shape: tuple[int, ...], operands: tuple[Array, Array], dkernel: Array
) -> tuple[Array, Array]:
    x, dy = operands
    return _input_gradient(dy, dkernel, stride, x.shape), strided_conv(x, dkernel, stride)


strided_conv.defvjp(lambda x, kernel, stride: (strided_conv(x, kernel, stride), (x, kernel)), _conv_backward)
_input_gradient.defvjp(
    lambda dy, kernel, stride, shape: (_input_gradient(dy, kernel, stride, shape), (dy, kernel)),
    _input_gradient_backward,
)
_kernel_gradient.defvjp(
    lambda x, dy, stride, shape: (_kernel_gradient(x, dy, stride, shape), (x, dy)), _kernel_gradient_backward
)
