"""Timings of several implementations of StyleGAN2's two expensive operations.

    python experiments/benchmarks/forms.py                          the sizes of config F at 256 px, batch 4; slow on
                                                                    two cores: some gradients take half a minute
    python experiments/benchmarks/forms.py --scale=4 --batch=8      a quarter of the channels

Columns: milliseconds of the value, of the gradient by image and kernel, and of the gradient by the kernel of the
squared norm of the gradient by the image (as in R1 and path length penalties); megabytes of temporaries. Results are
in README.md.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax import Array, lax
from stylegan2 import timed

from stylegan2_flax import command, resample

FLAGS = flags.FlagValues()
BATCH = flags.DEFINE_integer("batch", 4, "images in a batch", lower_bound=1, flag_values=FLAGS)
SCALE = flags.DEFINE_integer("scale", 1, "divisor of the channels of config F", lower_bound=1, flag_values=FLAGS)
ROUNDS = flags.DEFINE_integer("rounds", 3, "timed calls, of which the fastest counts", lower_bound=1, flag_values=FLAGS)

Form = Callable[[Array, Array], Array]
"""(image [n, h, w, i], kernel [o, i, 3, 3]) -> image."""

TAPS = resample.separable_taps(resample.setup_filter((1, 3, 3, 1)))


def main() -> None:
    compare_all(BATCH.value, SCALE.value, ROUNDS.value)


def compare_all(batch: int, scale: int, rounds: int) -> None:
    """Time all forms at the sizes of config F at 256 px."""
    for title, forms, sizes in (
        ("up-convolution and its filter", UP, ((32, 512, 512), (64, 512, 256), (128, 256, 128))),
        ("convolution", PLAIN, ((64, 512, 512), (128, 256, 256), (256, 128, 128))),
    ):
        for side, full_inputs, full_outputs in sizes:
            inputs, outputs = full_inputs // scale, full_outputs // scale
            print(f"{title}, {side} px, {inputs} -> {outputs} channels")
            compare(forms, (batch, side, side, inputs), (outputs, inputs, 3, 3), rounds)


def compare(forms: dict[str, Form], image: tuple[int, ...], kernel: tuple[int, ...], rounds: int) -> None:
    """Print a row for each form, at these shapes of image and kernel. The forms must agree."""
    x, k = jax.random.normal(jax.random.key(0), image), jax.random.normal(jax.random.key(1), kernel) / 50
    expected = None
    for name, form in forms.items():
        value = np.asarray(jax.jit(form)(x, k))
        expected = value if expected is None else expected
        assert np.abs(value - expected).max() < 1e-4 * np.abs(expected).max(), f"{name} is another operation"
        columns, memory = [], 0
        for function in (form, gradient(form), second(form)):
            compiled = jax.jit(function).lower(x, k).compile()
            timed(compiled, x, k)
            columns.append(1000 * min(timed(compiled, x, k) for _ in range(rounds)))
            analysis = compiled.memory_analysis()
            assert analysis is not None
            memory = max(memory, analysis.temp_size_in_bytes // 2**20)
        print(f"    {name:<34}" + "".join(f"{column:8.0f} ms" for column in columns) + f"{memory:8} MB", flush=True)


def gradient(form: Form) -> Callable[[Array, Array], tuple[Array, Array]]:
    return jax.grad(lambda x, k: jnp.sum(jnp.square(form(x, k))), argnums=(0, 1))


def second(form: Form) -> Callable[[Array, Array], Array]:
    def penalty(k: Array, x: Array) -> Array:
        return jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(jnp.square(form(x, k))))(x)))

    return lambda x, k: jax.grad(penalty)(k, x)


def product(x: Array, k: Array) -> Array:
    return resample.conv2d_resample(x, k, TAPS, up=2, padding=1)


def product_2d(x: Array, k: Array) -> Array:
    return resample.conv2d_resample(x, k, jnp.outer(TAPS, TAPS), up=2, padding=1)


def dilated(x: Array, k: Array) -> Array:
    names = ("NHWC", "OIHW", "NHWC")
    x = lax.conv_general_dilated(x, k, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=names)
    return resample.upfirdn2d(x, TAPS, padding=(1, 1, 1, 1), gain=4.0)


def phases(x: Array, k: Array) -> Array:
    """The four phases of the transposed convolution, each a small convolution; then the filter."""
    n, h, w, _ = x.shape
    total = jnp.zeros((n, 2 * h + 1, 2 * w + 1, k.shape[0]))
    for i in (0, 1):
        for j in (0, 1):
            pads = ((1 - i, 1 - i), (1 - j, 1 - j))
            part = convolution(x, k[:, :, i::2, j::2], pads)
            total += lax.pad(part, 0.0, ((0, 0, 0), (i, i, 1), (j, j, 1), (0, 0, 0)))
    return resample.upfirdn2d(total, TAPS, padding=(1, 1, 1, 1), gain=4.0)


def folded(x: Array, k: Array) -> Array:
    """Kernel and filter as one kernel of 6 x 6 taps, whose four phases are 3 x 3 convolutions of the small image."""
    f = TAPS / jnp.sum(TAPS) * 2
    whole = jnp.zeros((*k.shape[:2], 6, 6))
    for i in range(4):
        for j in range(4):
            whole += jnp.pad(k, ((0, 0), (0, 0), (i, 3 - i), (j, 3 - j))) * f[i] * f[j]
    parts = [[convolution(x, whole[:, :, 1 - i :: 2, 1 - j :: 2], ((1, 1), (1, 1))) for j in (0, 1)] for i in (0, 1)]
    rows = [jnp.stack(row, axis=3) for row in parts]
    n, h, w, _ = x.shape
    return jnp.stack(rows, axis=2).reshape(n, 2 * h, 2 * w, k.shape[0])


def convolution(x: Array, k: Array, pads: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))) -> Array:
    return lax.conv_general_dilated(x, k, (1, 1), pads, dimension_numbers=("NHWC", "OIHW", "NHWC"))


def columns(x: Array, k: Array) -> Array:
    """One matrix product with the nine shifted images side by side."""
    n, h, w, i = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, a : a + h, b : b + w] for a in range(3) for b in range(3)]
    taps = k.transpose(2, 3, 1, 0).reshape(9 * i, k.shape[0])
    return (jnp.concatenate(shifted, axis=3).reshape(-1, 9 * i) @ taps).reshape(n, h, w, k.shape[0])


def winograd(x: Array, k: Array) -> Array:
    """F(2 x 2, 3 x 3) of Lavin and Gray (2016, arXiv:1509.09308): 16 products for 4 pixels instead of 36."""
    n, h, w, i = x.shape
    transform = jnp.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    kernels = jnp.einsum("ap,bq,oipq->abio", transform, transform, k)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def four(x: Array, axis: int) -> list[Array]:
        length = x.shape[axis] - 2
        d = [lax.slice_in_dim(x, s, s + length - 1, 2, axis) for s in range(4)]
        return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]

    tiles = [
        [(t.reshape(-1, i) @ kernels[a, b]) for b, t in enumerate(four(row, 2))]
        for a, row in enumerate(four(padded, 1))
    ]
    two = lambda m: (m[0] + m[1] + m[2], m[1] - m[2] - m[3])  # noqa: E731
    by_row = [two([tiles[a][b] for a in range(4)]) for b in range(4)]
    pixels = [two([by_row[b][p] for b in range(4)]) for p in (0, 1)]
    pixels = [jnp.stack([q.reshape(n, h // 2, w // 2, -1) for q in row], axis=3) for row in pixels]
    return jnp.stack(pixels, axis=2).reshape(n, h, w, -1)


UP = {
    "one product, separable filter": product,
    "one product, 2-D filter": product_2d,
    "lhs_dilation": dilated,
    "four phases": phases,
    "filter folded into the kernel": folded,
}
PLAIN = {"convolution": convolution, "one product of nine shifts": columns, "Winograd F(2, 3)": winograd}


if __name__ == "__main__":
    command.run(main, FLAGS)
