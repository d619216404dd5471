"""Clips read from a TFDS data set, in the order in which training would have generated them."""

from functools import lru_cache
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
from jax.sharding import Mesh
from jaxtyping import Array, Int
from ml_collections import ConfigDict

from disentangle_jax.clips.clip import Clip, ClipSource
from disentangle_jax.clips.clip_dataset import NAME, DataSource, is_begun
from disentangle_jax.clips.provenance import check_provenance, provenance_of
from stylegan2_flax.run import parallel
from stylegan2_flax.run.local_data import on_local_disk

_STEPS = 1 << 40  # more than any run has: batches follow one another without an end


class StoredClips:
    """Clips of a data set: step n takes batch_size of them from position n * batch_size on.

    The first epoch follows the order of the data set, so that a run reads the clips it would have generated. Each later
    epoch is shuffled by the seed and its own number. A batch depends on the step alone, so a resumed run reads on as if
    it had never stopped. With several processes each reads its own part of a batch. Grain's threads prefetch batches.
    """

    def __init__(self, clips: DataSource, seed: int, batch_size: int, mesh: Mesh, threads: int, prefetch: int):
        """clips: examples with the features ws, augmented and coefficients, by place."""
        self._sharding, self._batch_size = parallel.over_batch(mesh), batch_size
        batches = _Batches(clips, seed, batch_size, parallel.local_rows(self._sharding, batch_size))
        self._batches = grain.MapDataset.source(batches)
        self._options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
        self._next = -1

    @classmethod
    def of(cls, config: ConfigDict, source: ClipSource, mesh: Mesh) -> "StoredClips":
        """The clips of `config.data`.

        Raises:
            ValueError: there is no such data set, it is unfinished, lacks a feature, is too small for a batch, or was
                made from something else than the source, which is what the config's own clips would be made from.
        """
        data = config.data
        num_ws, w_dim = source.directions.mean.shape
        clips = open_clips(data, (num_ws, w_dim), provenance_of(config, source))
        if len(clips) < config.train.batch_size:
            raise ValueError(
                f"{data.dataset} in {data.directory}, split {data.split}, holds {len(clips)} clips, fewer than a batch "
                f"of {config.train.batch_size}: make more, or set config.train.batch_size"
            )
        return cls(clips, config.seed, config.train.batch_size, mesh, data.threads, data.prefetch)

    def fetch(self, step: int) -> dict[str, Array]:
        if step != self._next:
            self._reader = iter(self._batches[step:].to_iter_dataset(self._options))
        part, self._next = next(self._reader), step + 1
        return {name: self._place(rows) for name, rows in part.items()}

    def clips(self, fetched: dict[str, Array], step: Int[Array, ""]) -> Clip:
        return Clip(**{name: values.astype(jnp.float32) for name, values in fetched.items()})

    def _place(self, rows: np.ndarray) -> Array:
        return jax.make_array_from_process_local_data(self._sharding, rows, (self._batch_size, *rows.shape[1:]))


def open_clips(data: ConfigDict, ws: tuple[int, int], made_from: dict[str, Any]) -> DataSource:
    """Open the data set of `config.data` and make sure that it can be trained on.

    Args:
        data: `config.data`.
        ws: [l, d], the shape of the generator's latents.
        made_from: the provenance that the clips must have, if the data set records one.

    Raises:
        ValueError: there is no such data set, or it does not fit.
    """
    builder = on_local_disk(find_clips(data, ws))
    if "generator" in (metadata := dict(builder.info.metadata or {})):
        check_provenance(metadata, made_from)
    unread = {name: tfds.decode.SkipDecoding() for name in builder.info.features if name not in Clip._fields}
    return builder.as_data_source(split=data.split, decoders=unread)


def find_clips(data: ConfigDict, ws: tuple[int, int]) -> Any:
    """The TFDS builder of the data set of `config.data`, which has clips of such latents.

    Args:
        data: `config.data`.
        ws: [l, d], the shape of the generator's latents.

    Raises:
        ValueError: there is no such data set or split, it is unfinished, or its clips have another shape.
    """
    where = f"the TFDS data set {data.dataset!r} in {data.directory!r}"
    try:
        builder: Any = tfds.builder(data.dataset, data_dir=data.directory)
    except Exception as error:  # TFDS has many, and no common one
        begun = data.dataset == NAME and is_begun(data.directory)
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]  # TFDS adds hundreds of names
        place = "data.directory is the --out of make_clips, or a folder that TFDS prepared"
        hint = (
            "is unfinished: run its make_clips command again" if begun else f"cannot be opened ({reason[0]}): {place}"
        )
        raise ValueError(f"{where} {hint}") from None
    features = builder.info.features
    if missing := [name for name in Clip._fields if name not in features]:
        raise ValueError(f"{where} lacks the feature {', '.join(missing)}; it has {', '.join(features)}")
    _check_shapes(where, {name: features[name].shape for name in Clip._fields}, ws)
    try:
        builder.info.splits[data.split]
    except Exception as error:
        raise ValueError(f"{where} has no split {data.split!r}: it has {', '.join(builder.info.splits)}") from error
    return builder


def _check_shapes(where: str, shapes: dict[str, tuple[int | None, ...]], ws: tuple[int, int]) -> None:
    frames = shapes["ws"][0]
    wanted = {"ws": (frames, *ws), "augmented": (frames, *ws), "coefficients": (frames, shapes["coefficients"][-1])}
    for name, shape in shapes.items():
        if shape != wanted[name]:
            raise ValueError(
                f"{where} has {name} of shape {list(shape)}; with this generator it must be {list(wanted[name])}"
            )


class _Batches:
    """This process's part of every batch, by the number of the step."""

    def __init__(self, clips: DataSource, seed: int, batch_size: int, rows: list[int]):
        self._clips, self._batch_size, self._rows = clips, batch_size, rows
        # A batch at the end of an epoch needs two orders, and no batch needs more.
        self._order = lru_cache(2)(lambda epoch: np.random.default_rng([seed, epoch]).permutation(len(clips)))

    def __len__(self) -> int:
        return _STEPS

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        places = [index * self._batch_size + row for row in self._rows]
        examples = self._clips.__getitems__([self._member(*divmod(place, len(self._clips))) for place in places])
        return {name: np.stack([example[name] for example in examples]) for name in Clip._fields}

    def _member(self, epoch: int, place: int) -> int:
        return place if epoch == 0 else int(self._order(epoch)[place])
