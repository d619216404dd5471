"""The Inception-v3 features that the FID is defined on (Szegedy et al. 2015, arXiv:1512.00567; Heusel et al. 2017).

    from stylegan2_flax import inception

    network = inception.load("pt_inception-2015-12-05-6726825d.pth")  # your own copy: none comes with this package
    features = jax.jit(lambda network, images: network(images))(network, images)  # [b, 2048]

Published FIDs use one trained network, TensorFlow's graph of 2015-12-05, which differs from torchvision's: the average
pools of the Mixed blocks count no padding, and the last block takes the maximum there. Its weights go round as PyTorch
state dicts with torchvision's names. Pictures are prepared as that graph does it: 256 levels, TensorFlow 1's bilinear
resize to 299 px (pixel i of n samples position i * size / n, without anti-aliasing), then (level - 128) / 128. Ports
that resize with half-pixel centres give slightly other distances.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import nnx
from jaxtyping import Array, Float

from stylegan2_flax.checkpoints import npz, torch_files
from stylegan2_flax.checkpoints.network_data import CheckpointError

FEATURES = 2048
RESOLUTION = 299

_EPSILON = 1e-3  # of the batch normalizations


class _Conv(NamedTuple):
    """Convolution, batch normalization, relu."""

    name: str
    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"


class _Pool(NamedTuple):
    """A 3×3 pool."""

    kind: str
    stride: int = 1
    padding: str = "SAME"


class _Fork(NamedTuple):
    """Branches side by side, each a chain of steps; their outputs are concatenated. `name` is a prefix of theirs."""

    name: str
    branches: tuple["tuple[_Step, ...]", ...]


_Step = _Conv | _Pool | _Fork

_MEAN, _MAX, _HALVE = _Pool("mean"), _Pool("max"), _Pool("max", 2, "VALID")


def _mixed_5(name: str, inputs: int, pooled: int) -> _Fork:
    """At 35 px: Szegedy et al., figure 5, with one 5×5 kept."""
    one = (_Conv("branch1x1", inputs, 64),)
    five = (_Conv("branch5x5_1", inputs, 48), _Conv("branch5x5_2", 48, 64, (5, 5)))
    three = (
        _Conv("branch3x3dbl_1", inputs, 64),
        _Conv("branch3x3dbl_2", 64, 96, (3, 3)),
        _Conv("branch3x3dbl_3", 96, 96, (3, 3)),
    )
    return _Fork(f"{name}.", (one, five, three, (_MEAN, _Conv("branch_pool", inputs, pooled))))


def _mixed_6a() -> _Fork:
    """From 35 to 17 px: figure 10."""
    three = (_Conv("branch3x3", 288, 384, (3, 3), 2, "VALID"),)
    twice = (
        _Conv("branch3x3dbl_1", 288, 64),
        _Conv("branch3x3dbl_2", 64, 96, (3, 3)),
        _Conv("branch3x3dbl_3", 96, 96, (3, 3), 2, "VALID"),
    )
    return _Fork("Mixed_6a.", (three, twice, (_HALVE,)))


def _mixed_6(name: str, width: int) -> _Fork:
    """At 17 px: figure 6 with n = 7."""
    one = (_Conv("branch1x1", 768, 192),)
    seven = (
        _Conv("branch7x7_1", 768, width),
        _Conv("branch7x7_2", width, width, (1, 7)),
        _Conv("branch7x7_3", width, 192, (7, 1)),
    )
    twice = (
        _Conv("branch7x7dbl_1", 768, width),
        _Conv("branch7x7dbl_2", width, width, (7, 1)),
        _Conv("branch7x7dbl_3", width, width, (1, 7)),
        _Conv("branch7x7dbl_4", width, width, (7, 1)),
        _Conv("branch7x7dbl_5", width, 192, (1, 7)),
    )
    return _Fork(f"{name}.", (one, seven, twice, (_MEAN, _Conv("branch_pool", 768, 192))))


def _mixed_7a() -> _Fork:
    """From 17 to 8 px."""
    three = (_Conv("branch3x3_1", 768, 192), _Conv("branch3x3_2", 192, 320, (3, 3), 2, "VALID"))
    seven = (
        _Conv("branch7x7x3_1", 768, 192),
        _Conv("branch7x7x3_2", 192, 192, (1, 7)),
        _Conv("branch7x7x3_3", 192, 192, (7, 1)),
        _Conv("branch7x7x3_4", 192, 192, (3, 3), 2, "VALID"),
    )
    return _Fork("Mixed_7a.", (three, seven, (_HALVE,)))


def _mixed_7(name: str, inputs: int, pool: _Pool) -> _Fork:
    """At 8 px: figure 7."""

    def crossed(prefix: str) -> _Fork:
        return _Fork("", ((_Conv(f"{prefix}a", 384, 384, (1, 3)),), (_Conv(f"{prefix}b", 384, 384, (3, 1)),)))

    one = (_Conv("branch1x1", inputs, 320),)
    three = (_Conv("branch3x3_1", inputs, 384), crossed("branch3x3_2"))
    twice = (
        _Conv("branch3x3dbl_1", inputs, 448),
        _Conv("branch3x3dbl_2", 448, 384, (3, 3)),
        crossed("branch3x3dbl_3"),
    )
    return _Fork(f"{name}.", (one, three, twice, (pool, _Conv("branch_pool", inputs, 192))))


_NETWORK: tuple[_Step, ...] = (
    _Conv("Conv2d_1a_3x3", 3, 32, (3, 3), 2, "VALID"),
    _Conv("Conv2d_2a_3x3", 32, 32, (3, 3), 1, "VALID"),
    _Conv("Conv2d_2b_3x3", 32, 64, (3, 3)),
    _HALVE,
    _Conv("Conv2d_3b_1x1", 64, 80),
    _Conv("Conv2d_4a_3x3", 80, 192, (3, 3), 1, "VALID"),
    _HALVE,
    _mixed_5("Mixed_5b", 192, 32),
    _mixed_5("Mixed_5c", 256, 64),
    _mixed_5("Mixed_5d", 288, 64),
    _mixed_6a(),
    _mixed_6("Mixed_6b", 128),
    _mixed_6("Mixed_6c", 160),
    _mixed_6("Mixed_6d", 160),
    _mixed_6("Mixed_6e", 192),
    _mixed_7a(),
    _mixed_7("Mixed_7b", 1280, _MEAN),
    _mixed_7("Mixed_7c", 2048, _MAX),
)


def _convolutions(steps: Sequence[_Step], prefix: str = "") -> Iterator[tuple[str, _Conv]]:
    """Yield every convolution with its full name."""
    for step in steps:
        if isinstance(step, _Conv):
            yield prefix + step.name, step
        elif isinstance(step, _Fork):
            for branch in step.branches:
                yield from _convolutions(branch, prefix + step.name)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Inception:
    """The network as a pytree. Pass it to jitted functions as an argument, or its weights become constants."""

    layers: dict[str, tuple[Any, Any]]
    """Kernel [h, w, i, o] and bias [o] of each convolution, with its batch normalization folded in."""

    def __call__(self, images: Float[Array | np.ndarray, "b h w c"]) -> Float[Array, "b 2048"]:
        """Map images in [-1, 1], of any size and with 3 channels or 1, to features. Always computes in float32."""
        x = prepare(jnp.asarray(images, jnp.float32))
        return jnp.mean(self._run(_NETWORK, x), axis=(1, 2))

    def _run(self, steps: Sequence[_Step], x: Float[Array, "b h w i"], prefix: str = "") -> Float[Array, "b h2 w2 o"]:
        for step in steps:
            if isinstance(step, _Fork):
                x = jnp.concatenate([self._run(branch, x, prefix + step.name) for branch in step.branches], axis=-1)
            elif isinstance(step, _Pool):
                x = _pool(x, step)
            else:
                x = _convolve(x, step, *self.layers[prefix + step.name])
        return x


def _convolve(
    x: Float[Array, "b h w i"], step: _Conv, kernel: Float[Array, "y x i o"], bias: Float[Array, " o"]
) -> Float[Array, "b h2 w2 o"]:
    x = jax.lax.conv_general_dilated(
        x,
        kernel,
        (step.stride, step.stride),
        step.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return jax.nn.relu(x + bias[None, None, None])


def _pool(x: Float[Array, "b h w i"], step: _Pool) -> Float[Array, "b h2 w2 i"]:
    window, strides = (3, 3), (step.stride, step.stride)
    if step.kind == "max":
        return nnx.max_pool(x, window, strides, step.padding)
    return nnx.avg_pool(x, window, strides, step.padding, count_include_pad=False)


def load(path: str | os.PathLike[str]) -> Inception:
    """Load the network.

    Args:
        path: a state dict of PyTorch (.pth, .pt), or an .npz or .safetensors file with the same names.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged or holds other weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no Inception weights at {path}: there is no such file")
    try:
        return from_state_dict(_read(path.read_bytes()))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def from_state_dict(arrays: Mapping[str, Any]) -> Inception:
    """Create the network from the arrays of a state dict, such as `Mixed_5b.branch1x1.conv.weight`, in torch's layout.

    The classifier `fc` and `num_batches_tracked` are ignored. Raises CheckpointError if arrays are missing, unknown or
    of a wrong shape, and for torchvision's own weights, whose features differ.
    """
    if any(name.startswith("AuxLogits.") for name in arrays) or np.shape(arrays.get("fc.weight", ()))[:1] == (1000,):
        raise CheckpointError(
            "these are torchvision's Inception-v3 weights, whose features are not those of the FID: use the weights of "
            "TensorFlow's graph of 2015-12-05 (pt_inception-2015-12-05-6726825d.pth)"
        )
    wanted = {f"{name}.{part}": shape for name, step in _convolutions(_NETWORK) for part, shape in _shapes(step)}
    given = {name for name in arrays if not name.startswith("fc.") and not name.endswith(".num_batches_tracked")}
    if given != wanted.keys():
        missing, further = sorted(wanted.keys() - given), sorted(given - wanted.keys())
        raise CheckpointError(
            f"not the weights of an Inception-v3: {len(missing)} arrays are missing {missing[:2]}, "
            f"{len(further)} are unknown {further[:2]}"
        )
    for name, shape in wanted.items():
        if np.shape(arrays[name]) != shape:
            raise CheckpointError(f"{name} must have shape {list(shape)}, has {list(np.shape(arrays[name]))}")
    return Inception({name: _fold(arrays, name) for name, _ in _convolutions(_NETWORK)})


def _shapes(step: _Conv) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the arrays of one convolution in a state dict."""
    yield "conv.weight", (step.outputs, step.inputs, *step.kernel)
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"bn.{part}", (step.outputs,)


def _fold(arrays: Mapping[str, Any], name: str) -> tuple[Array, Array]:
    """Kernel [h, w, i, o] and bias [o] of a convolution with its batch normalization folded in."""
    weight, gain, offset, mean, variance = (
        np.asarray(arrays[f"{name}.{part}"], np.float64)
        for part in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    )
    scale = gain / np.sqrt(variance + _EPSILON)
    kernel = weight.transpose(2, 3, 1, 0) * scale
    return jnp.asarray(kernel, jnp.float32), jnp.asarray(offset - mean * scale, jnp.float32)


def _read(data: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of a file. The format is detected from the content."""
    if data[8:9] == b"{":
        try:
            return safetensors.numpy.load(data)
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            raise CheckpointError(f"it is no readable safetensors file, perhaps cut short: {error}") from error
    content = npz.read_npz(data) if npz.recognises(data) else torch_files.read_torch(data)
    if not (isinstance(content, Mapping) and all(isinstance(array, np.ndarray) for array in content.values())):
        raise CheckpointError("it holds no state dict, that is, no dictionary of arrays")
    return {str(name): array for name, array in content.items()}


def prepare(images: Float[Array, "b h w c"]) -> Float[Array, "b 299 299 3"]:
    """Preprocess images in [-1, 1] as the graph does: quantize to 256 levels, resize, and scale to about [-1, 1].

    Images of 1 channel are repeated to 3. Raises ValueError for other numbers of channels.
    """
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise ValueError(f"Inception features need images of 3 channels, or of 1; got {channels}")
    levels = jnp.clip(jnp.round((images + 1) * 127.5), 0, 255)
    levels = jnp.broadcast_to(levels, (*levels.shape[:-1], 3))
    rows, columns = (_resize_matrix(size) for size in images.shape[1:3])
    resized = jnp.einsum("yh,bhwc,xw->byxc", rows, levels, columns, precision="highest")
    return (resized - 128) / 128


def _resize_matrix(size: int) -> Float[np.ndarray, "299 size"]:
    """The bilinear resize of TensorFlow 1 along one axis, as a matrix."""
    position = np.arange(RESOLUTION) * (size / RESOLUTION)
    below = position.astype(int)
    part = position - below
    matrix = np.zeros((RESOLUTION, size))
    np.add.at(matrix, (np.arange(RESOLUTION), below), 1 - part)
    np.add.at(matrix, (np.arange(RESOLUTION), np.minimum(below + 1, size - 1)), part)
    return matrix.astype(np.float32)
