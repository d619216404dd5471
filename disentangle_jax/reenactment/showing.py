"""What is written of a transfer: the result alone, beside source and driving, or pasted into the source's picture."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from disentangle_jax import media
from disentangle_jax.inversion.portraits import paste
from disentangle_jax.reenactment.footage import Footage, PictureFootage

SHOW = ("beside", "result", "pasted")

Pictures = Iterator[UInt8[np.ndarray, "_h _w 3"]]
"""Frames, one by one."""

_SIZE = 256  # pixels of a face beside others, at least
_T = TypeVar("_T")


def compose(
    show: str, sources: Sequence[Footage], drivings: Sequence[Footage], results: Sequence[Sequence[Pictures]]
) -> Pictures:
    """Frames to write.

    Args:
        show: one of `SHOW`; "pasted" is for one source, a picture or a video, and one driving.
        sources, drivings: what the results were made of.
        results: for each source, for each driving, the frames.
    """
    if show == "pasted":
        assert isinstance(sources[0], PictureFootage)
        return _pasted(sources[0], results[0][0])
    return _alone(results) if show == "result" else _beside(sources, drivings, results)


def _alone(results: Sequence[Sequence[Pictures]]) -> Pictures:
    """The result; of several, a row for each source and a column for each driving."""
    for cells in zip(*itertools.chain(*results), strict=True):
        yield media.image_grid(_grid(cells, len(results)))


def _beside(sources: Sequence[Footage], drivings: Sequence[Footage], results: Sequence[Sequence[Pictures]]) -> Pictures:
    """Source, driving and result with their titles; of several, sources to the left and drivings above the results."""
    size = max(_SIZE, sources[0].model.generator.img_resolution)
    heads = [_each_frame(footage, footage.shown(size)) for footage in (*sources, *drivings)]
    for cells in zip(*itertools.chain(*results), *heads, strict=False):
        images = np.stack([_resized(cell, size) for cell in cells])
        grid, left, top = np.split(images, [len(cells) - len(heads), len(cells) - len(drivings)])
        if len(grid) == 1:
            titles = {"source": left, "driving": top, "result": grid}
            columns = media.titled_columns({title: media.from_uint8(image) for title, image in titles.items()}, size)
            yield media.to_uint8(columns)
        else:
            yield media.image_grid(_grid(grid, len(sources)), row_headers=left, column_headers=top)


def _pasted(source: PictureFootage, result: Pictures) -> Pictures:
    """The source's whole pictures with the result in the place of the face."""
    for image, (picture, square) in zip(result, _each_frame(source, source.pictures.originals()), strict=False):
        yield paste(picture, image, square)


def _each_frame(footage: Footage, items: Iterator[_T]) -> Iterator[_T]:
    """One item for each frame; that of a single face again and again."""
    return itertools.repeat(next(items)) if footage.num_frames is None else items


def _grid(cells: Sequence[np.ndarray] | np.ndarray, rows: int) -> UInt8[np.ndarray, "rows columns h w 3"]:
    images = np.stack(list(cells))
    return images.reshape(rows, -1, *images.shape[1:])


def _resized(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    return media.to_uint8(media.resize(media.from_uint8(image), size))
