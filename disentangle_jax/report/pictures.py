"""Pictures of transfers, composed of the generator's and the exact ones."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float

from disentangle_jax import media

_CELL = 104  # pixels of one face as shown
_GAP = 3
_PANEL_GAP = 40

Images = Float[Array | np.ndarray, "n h w 3"]
Videos = Float[Array | np.ndarray, "n t h w 3"]
Picture = Float[np.ndarray, "height width 3"]


def transfer_grid(
    sources: Float[Array | np.ndarray, "rows h w 3"],
    drivings: Float[Array | np.ndarray, "columns h w 3"],
    results: Mapping[str, Float[Array | np.ndarray, "rows columns h w 3"]],
) -> Picture:
    """One panel for each title of `results`, side by side: sources down the left of the first, drivings across the top
    of each.
    """
    sources, drivings = media.resize(sources, _CELL), media.resize(drivings, _CELL)
    headers, panels = (
        {"row_headers": sources, "corner": media.text_cells(["driving: right source: below"], _CELL, _CELL)[0]},
        [],
    )
    for title, images in results.items():
        panel = media.image_grid(media.resize(images, _CELL), column_headers=drivings, gap=_GAP, **headers)
        name = media.text_cells([title], panel.shape[1])[0]
        panels += [np.concatenate([name, panel]), np.ones((len(name) + len(panel), _PANEL_GAP, 3), np.float32)]
        headers = {}
    return np.concatenate(panels[:-1], axis=1)


def columns(images: Mapping[str, Images], size: int = _CELL) -> Picture:
    """One column for each title, one row for each image, shown at `size` pixels."""
    grid = np.stack([media.resize(column, size) for column in images.values()], axis=1)
    titles = media.text_cells(list(images), size)
    return media.image_grid(grid, column_headers=titles, gap=_GAP)


def columns_in_motion(clips: Mapping[str, Videos], size: int = _CELL) -> Float[np.ndarray, "t height width 3"]:
    """`columns`, frame by frame."""
    num_frames = next(iter(clips.values())).shape[1]
    return np.stack([columns({title: clip[:, t] for title, clip in clips.items()}, size) for t in range(num_frames)])


def filmstrip(clips: Mapping[str, Float[Array | np.ndarray, "t h w 3"]], num_frames: int) -> Picture:
    """Stills of clips that run together: time to the right, one row for each title."""
    length = len(next(iter(clips.values())))
    moments = np.linspace(0, length, num_frames, endpoint=False).astype(int)
    grid = np.stack([media.resize(np.asarray(clip)[moments], _CELL) for clip in clips.values()])
    titles = media.text_cells(list(clips), _CELL * 3 // 4, _CELL)
    return media.image_grid(grid, row_headers=titles, gap=_GAP)
