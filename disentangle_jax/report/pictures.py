"""Image files composed of a gallery: grids and strips with titles, and a clip."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from disentangle_jax import media
from disentangle_jax.report.gallery import Gallery

CELL = 104
"""Side of an image as shown, in pixels."""

_PANEL_GAP = 40
_STILLS = 9

Picture = Float[np.ndarray, "height width 3"]


def save_pictures(gallery: Gallery, folder: Path) -> None:
    """Write transfer_grid.png, methods.png, motion.png and motion.gif."""
    media.save_image(transfer_grid(gallery), folder / "transfer_grid.png")
    media.save_image(media.titled_columns(gallery.methods, CELL), folder / "methods.png")
    media.save_image(filmstrip(stills(gallery)), folder / "motion.png")
    media.save_video(clips_side_by_side(gallery), folder / "motion.gif")


def transfer_grid(gallery: Gallery) -> Picture:
    """One panel for each grid: sources down the left of the first, drivings along the top of each."""
    sources, drivings = media.resize(gallery.sources, CELL), media.resize(gallery.drivings, CELL)
    corner = media.text_cells(["driving: right source: below"], CELL, CELL)[0]
    panels = []
    for index, (title, images) in enumerate(gallery.grids.items()):
        headers = {"row_headers": sources, "corner": corner} if index == 0 else {}
        grid = media.image_grid(media.resize(images, CELL), column_headers=drivings, gap=media.GAP, **headers)
        panel = np.concatenate([media.text_cells([title], grid.shape[1])[0], grid])
        if index > 0:
            panels.append(np.ones((len(panel), _PANEL_GAP, 3), np.float32))
        panels.append(panel)
    return np.concatenate(panels, axis=1)


def clips_side_by_side(gallery: Gallery) -> Float[np.ndarray, "t height width 3"]:
    """All clips in motion: a row for each, its columns in the order of `gallery.clips`, without titles or gaps."""
    grid = np.stack([media.resize(clips, CELL) for clips in gallery.clips.values()])
    num_columns, num_rows, num_frames, size, _, _ = grid.shape
    frames = grid.transpose(2, 1, 3, 0, 4, 5)
    return frames.reshape(num_frames, num_rows * size, num_columns * size, 3)


def stills(gallery: Gallery) -> dict[str, Float[np.ndarray, "n h w 3"]]:
    """Frames of the first clip, evenly spaced in time, by title."""
    num_frames = len(next(iter(gallery.clips.values()))[0])
    moments = np.linspace(0, num_frames, min(_STILLS, num_frames), endpoint=False).astype(int)
    return {title: clips[0][moments] for title, clips in gallery.clips.items()}


def filmstrip(frames: Mapping[str, Float[np.ndarray, "n h w 3"]]) -> Picture:
    """Clips as stills: time to the right, one row for each title."""
    grid = np.stack([media.resize(row, CELL) for row in frames.values()])
    titles = media.text_cells(list(frames), CELL * 3 // 4, CELL)
    return media.image_grid(grid, row_headers=titles, gap=media.GAP)
