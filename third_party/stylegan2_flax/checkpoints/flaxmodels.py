"""HDF5 files of flaxmodels (0.1.3), which hold one generator or one discriminator.

The layout was found without reading that package's code. Its networks were given stand-ins for the file and the
downloader, and watched for the groups and datasets they ask for and the shapes they take. Then images and logits were
compared with ours on the same random weights: the largest differences were 1.1e-5 of 13 and 1.7e-6 of 3.7.

    mapping_network/fc{i}/{weight [in, out], bias}   label_embedding/{weight, bias}   w_avg, which may be missing
    synthesis_network/const [1, 4, 4, c]
    synthesis_network/block_{r}x{r}/{layer0, layer1, torgb}/conv/{weight [h, w, in, out], bias}, affine/{weight, bias}
        and of layer0 and layer1 noise_strength, noise_const [1, r, r, 1]. The block of 4 px has no layer1.
    discriminator/block_{r}x{r}/{fromrgb, conv0, conv1, skip, of 4 px conv0, fc0}   output   label_embedding

Compared with ADA's state dicts, kernels that upsample are mirrored and the biases of affine layers lack their 1. What
shapes do not show is as in the published files. flaxmodels gives label embeddings a learning rate multiplier of 0.01
where NVIDIA has 1; the normalisation after them undoes that but for its epsilon (6e-5 of the images' scale).
"""

import io
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stylegan2_flax.checkpoints.layout import (
    MAX_BLOCKS,
    MAX_MAPPING_LAYERS,
    Change,
    count,
    discriminator_data,
    generator_data,
    listed,
    translate,
)
from stylegan2_flax.checkpoints.network_data import CheckpointError, NetworkData
from stylegan2_flax.checkpoints.numpy_pickles import Budget

Table = dict[str, tuple[str, Change]]

# Datasets of other names are left alone: no published file could be looked into, and flaxmodels asks for none.
_LEAVES = frozenset({"weight", "bias", "const", "noise_const", "noise_strength", "w_avg"})
_MAX_DEPTH = 6
_MAX_ENTRIES = 10_000


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an HDF5 file."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def read(data: bytes, which: str | None = None) -> NetworkData:
    """Read a network from a file. which: "G_ema" or "G" for a generator, "D" for a discriminator, None for either.

    Raises ImportError where h5py is missing, and CheckpointError for a file that cannot be used.
    """
    given = _datasets(data)
    groups = {name.split("/")[0] for name in given}
    if groups == {"mapping_network", "synthesis_network"}:
        kind, names = "generator", ("G_ema", "G")
    elif groups == {"discriminator"}:
        kind, names = "discriminator", ("D",)
    else:
        held = listed(groups) or "nothing"
        raise CheckpointError(f"it is an HDF5 file, but not one of flaxmodels' StyleGAN2: it holds {held}")
    if which not in (None, *names):
        raise CheckpointError(f"it has no network {which}: it holds a {kind}")
    if kind == "generator":
        return generator_data(translate(given, _generator_table(given)))
    # The one published network without skip connections, that of CIFAR-10, compares 32 images; the others all.
    group_size = None if any("/skip/" in name for name in given) else 32
    return discriminator_data(translate(given, _discriminator_table(given)), group_size)


def _generator_table(given: Mapping[str, np.ndarray]) -> Table:
    table = {"synthesis_network/const": ("synthesis.b4.const", _constant)}
    for i in range(max(1, count(_groups(given), "mapping_network/fc{}", 0, MAX_MAPPING_LAYERS))):
        table |= _pair(f"mapping_network/fc{i}", f"mapping.fc{i}", _linear)
    if "mapping_network/label_embedding/weight" in given:
        table |= _pair("mapping_network/label_embedding", "mapping.embed", _linear)
    if "mapping_network/w_avg" in given:
        table["mapping_network/w_avg"] = ("mapping.w_avg", _same)
    table |= _styled("synthesis_network/block_4x4/layer0", "synthesis.b4.conv1", _convolution)
    table |= _modulated("synthesis_network/block_4x4/torgb", "synthesis.b4.torgb", _convolution)
    for resolution in _resolutions(given, "synthesis_network"):
        theirs, ours = f"synthesis_network/block_{resolution}x{resolution}", f"synthesis.b{resolution}"
        table |= _styled(f"{theirs}/layer0", f"{ours}.conv0", _up_convolution)
        table |= _styled(f"{theirs}/layer1", f"{ours}.conv1", _convolution)
        table |= _modulated(f"{theirs}/torgb", f"{ours}.torgb", _convolution)
    return table


def _discriminator_table(given: Mapping[str, np.ndarray]) -> Table:
    resolutions = _resolutions(given, "discriminator")
    top = max(resolutions, default=4)
    table = _pair(f"discriminator/block_{top}x{top}/fromrgb", f"b{top}.fromrgb", _convolution)
    table |= _pair("discriminator/block_4x4/conv0", "b4.conv", _convolution)
    table |= _pair("discriminator/block_4x4/fc0", "b4.fc", _linear)
    table |= _pair("discriminator/output", "b4.out", _linear)
    if "discriminator/label_embedding/weight" in given:
        table |= _pair("discriminator/label_embedding", "mapping.embed", _linear)
    for resolution in resolutions:
        theirs, ours = f"discriminator/block_{resolution}x{resolution}", f"b{resolution}"
        table |= _pair(f"{theirs}/conv0", f"{ours}.conv0", _convolution)
        table |= _pair(f"{theirs}/conv1", f"{ours}.conv1", _convolution)
        if f"{theirs}/skip/weight" in given:
            table[f"{theirs}/skip/weight"] = (f"{ours}.skip.weight", _convolution)
    return table


def _resolutions(given: Mapping[str, np.ndarray], network: str) -> list[int]:
    """The resolutions of the network's blocks, from 8 px up to the first missing one."""
    groups = _groups(given)
    resolutions = [4 * 2**i for i in range(1, MAX_BLOCKS + 1)]
    return list(itertools.takewhile(lambda size: f"{network}/block_{size}x{size}" in groups, resolutions))


def _groups(given: Mapping[str, np.ndarray]) -> set[str]:
    return {"/".join(name.split("/")[:2]) for name in given}


def _styled(theirs: str, ours: str, kernel: Change) -> Table:
    return _modulated(theirs, ours, kernel) | {
        f"{theirs}/noise_strength": (f"{ours}.noise_strength", _number),
        f"{theirs}/noise_const": (f"{ours}.noise_const", _picture),
    }


def _modulated(theirs: str, ours: str, kernel: Change) -> Table:
    affine = {
        f"{theirs}/affine/weight": (f"{ours}.affine.weight", _linear),
        f"{theirs}/affine/bias": (f"{ours}.affine.bias", _plus_one),
    }
    return _pair(f"{theirs}/conv", ours, kernel) | affine


def _pair(theirs: str, ours: str, kernel: Change) -> Table:
    return {f"{theirs}/weight": (f"{ours}.weight", kernel), f"{theirs}/bias": (f"{ours}.bias", _same)}


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _linear(array: np.ndarray) -> np.ndarray:
    return np.transpose(array, (1, 0))


def _convolution(array: np.ndarray) -> np.ndarray:
    return np.transpose(array, (3, 2, 0, 1))


def _up_convolution(array: np.ndarray) -> np.ndarray:
    return _convolution(array)[:, :, ::-1, ::-1]


def _constant(array: np.ndarray) -> np.ndarray:
    return np.transpose(array, (0, 3, 1, 2)).squeeze(0)


def _picture(array: np.ndarray) -> np.ndarray:
    return np.squeeze(array, (0, 3))


def _number(array: np.ndarray) -> np.ndarray:
    return np.reshape(array, ())


def _plus_one(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) + np.float32(1)


def _datasets(data: bytes) -> dict[str, np.ndarray]:
    """All arrays of the file by their paths."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError("this is an HDF5 file, and to read it h5py is needed: pip install h5py") from error
    budget = Budget(len(data))
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return {path: _array(dataset, budget) for path, dataset in _walk(file, "", itertools.count())}
    except CheckpointError:
        raise
    except Exception as error:  # h5py does not say which errors a damaged file can cause
        raise CheckpointError(
            f"it is damaged or cut short: {str(error) or type(error).__name__}; get the file again"
        ) from error


def _walk(group: Any, prefix: str, visited: Iterator[int]) -> Iterator[tuple[str, Any]]:
    """Yield the arrays in a group and its subgroups. Raises CheckpointError for links, which may lead anywhere."""
    import h5py

    for name in group:
        if next(visited) > _MAX_ENTRIES or prefix.count("/") > _MAX_DEPTH:
            raise CheckpointError("it has more groups and datasets than a network has")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise CheckpointError(f"{prefix}{name} is a link to elsewhere, which is not followed")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _walk(item, f"{prefix}{name}/", visited)
        elif name in _LEAVES:
            yield f"{prefix}{name}", item


def _array(dataset: Any, budget: Budget) -> np.ndarray:
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in "fiu":
        raise CheckpointError(f"{dataset.name} is no array of numbers")
    if dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{dataset.name} has its numbers in another file, which is not read")
    budget.spend(dataset.nbytes)
    return np.asarray(dataset[()])
