"""The TFDS data set `synthetic_clips`: clips in ArrayRecord files, written shard by shard.

Its folder holds `metadata.json` (provenance of the clips), the shards, and `dataset_info.json`, which is written last.
`tfds.data_source("synthetic_clips", data_dir=...)` opens it without TensorFlow and without this package.

TFDS's own writer can neither resume nor write single shards, so this file, and no other, uses internals of TFDS.
"""

import io
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath
from tensorflow_datasets.core.data_sources.base import DataSource
from tensorflow_datasets.core.dataset_info import DatasetIdentity
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.core.splits import SplitDict

from stylegan2_flax import files
from stylegan2_flax.files import AnyPath, atomic
from stylegan2_flax.media import png_bytes
from stylegan2_flax.run.config_record import describe_differences

__all__ = ["NAME", "SPLIT", "VERSION", "ClipDataset", "DataSource", "Rows", "features_of", "folder_of", "is_begun"]

NAME, VERSION, SPLIT = "synthetic_clips", "1.0.0", "train"

Rows = dict[str, np.ndarray]
"""Features by name, with the clips along the leading axis."""


def folder_of(directory: str | AnyPath) -> AnyPath:
    """The data set's folder within TFDS's `data_dir`."""
    return files.as_path(directory) / NAME / VERSION


def is_begun(directory: str | AnyPath) -> bool:
    """Whether clips have begun to be written there, whose metadata says what they are made from."""
    return (folder_of(directory) / "metadata.json").exists()


def features_of(
    ws: tuple[int, int, int], k: int, dtype: str, image: tuple[int, int, int] | None
) -> tfds.features.FeaturesDict:
    """The features of a clip.

    Args:
        ws: shape [t, l, d] of its latents.
        k: number of directions.
        dtype: of stored latents.
        image: shape [h, w, c] of its frames, or None if they are not stored.
    """
    features = tfds.features
    # As bytes: TFDS would keep an array of any float type as float32, and take ten times as long to read it.
    latents = features.Tensor(shape=ws, dtype=np.dtype(dtype), encoding=features.Encoding.BYTES)
    wanted = {
        "ws": latents,
        "augmented": latents,
        "coefficients": features.Tensor(shape=(ws[0], k), dtype=np.float32),
        "index": features.Scalar(np.int64),
        "seed": features.Scalar(np.int64),
    }
    if image is not None:
        wanted["frames"] = features.Sequence(features.Image(shape=image, encoding_format="png"), length=ws[0])
    return features.FeaturesDict(wanted)


@dataclass(frozen=True)
class ClipDataset:
    """A data set of clips that is being written.

    Attributes:
        folder: where it lies, see `folder_of`.
        num_clips: number of clips in all shards.
        clips_per_shard: clips per shard; the last one may hold fewer.
        features: features of a clip.
        metadata: provenance of the clips, as plain data.
    """

    folder: AnyPath
    num_clips: int
    clips_per_shard: int
    features: tfds.features.FeaturesDict
    metadata: dict[str, Any]

    def begin(self) -> None:
        """Write the metadata, or check that the data set already there has the same.

        Raises:
            ValueError: the folder holds another data set.
        """
        path = self.folder / "metadata.json"
        if not path.exists():
            files.write_text(path, json.dumps(self.metadata, indent=2) + "\n")
            return
        there = json.loads(path.read_text(encoding="utf-8"))
        if differing := describe_differences(_without_name(there), _without_name(self.metadata)):
            raise ValueError(
                f"{self.folder} holds other clips:\n" + "\n".join(differing) + "\n"
                "Give another --out, delete this one to start over, or take these settings back to go on."
            )

    @property
    def num_shards(self) -> int:
        return len(self._lengths)

    def has(self, shard: int) -> bool:
        """Whether a shard exists. An existing shard is whole."""
        return self._path(shard).exists()

    def indices(self, shard: int) -> range:
        """The indices of a shard's clips."""
        first = shard * self.clips_per_shard
        return range(first, first + self._lengths[shard])

    def write(self, shard: int, batches: Iterator[Rows]) -> None:
        """Write a shard, whole or not at all."""
        path = self._path(shard)
        for leftover in self.folder.glob(f".*{path.suffix}"):  # of a process that was killed
            leftover.unlink()
        with atomic(path) as temporary, ThreadPoolExecutor() as pool:
            # Compression would save a sixteenth of the space and make reading several times slower.
            writer = ArrayRecordWriter(os.fspath(temporary), "group_size:1,uncompressed")
            try:
                for rows in batches:
                    clips = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
                    for record in pool.map(self._serialise, clips):
                        writer.write(record)
            finally:
                writer.close()

    def finish(self) -> None:
        """Write the files that TFDS needs to open the data set. All shards must exist."""
        version = tfds.core.Version(VERSION)
        identity = DatasetIdentity(name=NAME, version=version, data_dir=os.fspath(self.folder), module_name="")
        info = tfds.core.DatasetInfo(builder=identity, features=self.features, description="Synthetic latent videos.")
        info.set_file_format("array_record")
        template = tfds.core.ShardedFileTemplate(
            data_dir=epath.Path(self.folder), dataset_name=NAME, split=SPLIT, filetype_suffix="array_record"
        )
        size = sum(_size(self._path(shard)) for shard in range(self.num_shards))
        split = tfds.core.SplitInfo(name=SPLIT, shard_lengths=self._lengths, num_bytes=size, filename_template=template)
        info.set_splits(SplitDict([split]))
        with tempfile.TemporaryDirectory() as temporary:
            info.write_to_directory(temporary)
            for name in ("features.json", "dataset_info.json"):
                files.write_bytes(self.folder / name, (Path(temporary) / name).read_bytes())

    @property
    def _lengths(self) -> list[int]:
        whole, rest = divmod(self.num_clips, self.clips_per_shard)
        return [self.clips_per_shard] * whole + [rest] * (rest > 0)

    def _path(self, shard: int) -> AnyPath:
        return self.folder / f"{NAME}-{SPLIT}.array_record-{shard:05d}-of-{self.num_shards:05d}"

    def _serialise(self, clip: dict[str, Any]) -> bytes:
        if "frames" in clip:
            clip = {**clip, "frames": [io.BytesIO(png_bytes(frame)) for frame in clip["frames"]]}
        specs: Any = self.features.get_serialized_info()
        example = ExampleSerializer(specs).get_tf_example(self.features.encode_example(clip))
        return example.SerializeToString(deterministic=True)  # else the order of features is that of the process


def _size(path: AnyPath) -> int:
    """Of a file, in bytes."""
    return path.stat().st_size if isinstance(path, Path) else path.stat().length


def _without_name(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata without the generator's name, since its digest identifies it."""
    if "generator" not in metadata:
        return metadata
    return {**metadata, "generator": {"sha256": metadata["generator"]["sha256"]}}
