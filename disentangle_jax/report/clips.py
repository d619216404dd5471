"""The user's clips as they are told of: strips of pictures, each with its number, and a table for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from disentangle_jax import media
from disentangle_jax.batching import in_batches
from disentangle_jax.evaluation.baselines import Method
from disentangle_jax.evaluation.given_clips import FOOTAGE, INVERTED, LATENT_JITTER, GivenClip
from disentangle_jax.evaluation.reenactment import JITTER
from disentangle_jax.evaluation.suite import COPIES, OURS
from disentangle_jax.report.pictures import CELL

LATENT_JITTER_TITLE = "jitter of latents"

_STILLS, _FONT = 8, 13
_TITLE = 230  # pixels

Images = Float[np.ndarray, "n h w 3"]


class Strip(NamedTuple):
    """Frames of a clip, evenly spaced in time.

    Attributes:
        clip: its name.
        moments: the numbers of the frames.
        rows: these frames by title.
        sources: the faces that were driven, of the titles of driven rows.
    """

    clip: str
    moments: list[int]
    rows: dict[str, Images]
    sources: dict[str, Float[np.ndarray, "h w 3"]]


def make_strips(clips: Sequence[GivenClip], ours: Method, measured: Mapping[str, Any], most: int) -> list[Strip]:
    """Draw the strips of the first clips.

    Args:
        clips: of the user's.
        ours: the model under test.
        measured: what `measure_clips` found of them.
        most: number of strips, at most.
    """
    return [_strip(clip, clips[number - 1], ours, measured) for number, clip in enumerate(clips[:most])]


def strips_picture(strips: Sequence[Strip]) -> Float[np.ndarray, "height width 3"]:
    """All strips below each other, the sources to the left of what they became."""
    panels = []
    for strip in strips:
        grid = [media.resize(images, CELL) for images in strip.rows.values()]
        sources = [media.resize(strip.sources.get(title, np.ones((CELL, CELL, 3)))[None], CELL) for title in strip.rows]
        grid = np.stack([np.concatenate(pair) for pair in zip(sources, grid, strict=True)])
        titles = media.text_cells(list(strip.rows), _TITLE, CELL, size=_FONT)
        corner = media.text_cells([strip.clip], _TITLE, size=_FONT)[0]
        columns = ["source", *(f"frame {moment}" for moment in strip.moments)]
        headers = media.text_cells(columns, CELL, len(corner), size=_FONT)
        panels.append(media.image_grid(grid, row_headers=titles, column_headers=headers, corner=corner, gap=media.GAP))
    width = max(panel.shape[1] for panel in panels)
    return np.concatenate([np.pad(x, ((0, 0), (0, width - x.shape[1]), (0, 0)), constant_values=1) for x in panels])


def _strip(clip: GivenClip, other: GivenClip, ours: Method, measured: Mapping[str, Any]) -> Strip:
    """The strip of a clip, which drives its own first frame and that of another, if there is another."""
    moments = np.linspace(0, len(clip.ws) - 1, min(_STILLS, len(clip.ws))).astype(int)
    driving_ws, titles = clip.ws[moments], _titles(clip.name, other.name, measured)
    rows = {}
    if clip.footage:
        frames = (frame for number, frame in enumerate(clip.footage()) if number in moments)  # one at a time in memory
        rows[titles[FOOTAGE]] = media.to_rgb(np.stack(list(frames)))
    rows[titles[INVERTED]] = _drawn(clip, driving_ws)
    sources = {titles[kind]: face for kind, face in (("self", clip), ("cross", other)) if kind in titles}
    for title, face in sources.items():
        source_ws = np.broadcast_to(face.ws[:1], driving_ws.shape)
        rows[title] = _drawn(face, in_batches(ours, len(moments), source_ws, driving_ws))
    faces = {title: _drawn(face, face.ws[:1])[0] for title, face in sources.items()}
    return Strip(clip.name, moments.tolist(), rows, faces)


def _drawn(clip: GivenClip, ws: Float[np.ndarray, "n l d"]) -> Images:
    """Latents as the clip's generator draws them."""
    return media.to_rgb(in_batches(clip.render, _STILLS, ws))


def _titles(name: str, other: str, measured: Mapping[str, Any]) -> dict[str, str]:
    """What each row is, with the numbers of the whole clip."""
    record = measured["clips"][name]
    psnr = {against: rows[OURS]["psnr"] for against, rows in record["self"].items()}
    compared = [f"{psnr[key]:.1f} dB to {what}" for key, what in _AGAINST.items() if key in psnr]
    titles = {FOOTAGE: "footage", INVERTED: "what the latents show", "self": f"self-driven: {', '.join(compared)}"}
    if "inversion" in record:
        titles[INVERTED] = f"inverted: {record['inversion']['psnr']:.1f} dB to the footage"
    for pair in measured.get("pairs", []):
        if (pair["source"], pair["driving"]) == (other, name):
            numbers = _crossed(pair["methods"][OURS], measured)
            titles["cross"] = f"the first frame of {other}, cross-driven: {numbers}"
    return titles


_AGAINST = {FOOTAGE: "the footage", INVERTED: "the inverted"}


def clips_summary(measured: Mapping[str, Any]) -> str:
    """A line for each clip, by the model under test, and one with the means of each method.

    Args:
        measured: what `measure_clips` found.
    """
    title, columns = "your clips, PSNR in dB", ("frames", "inverted (worst)", "self-driven to footage", "to inverted")
    width = max(len(title), *map(len, measured["clips"]))
    lines = ["  ".join([f"{title:{width}}", *columns])]
    for name, record in {**measured["clips"], "mean": {"num_frames": "", **measured}}.items():
        inversion, driven = record.get("inversion"), record["self"]
        cells = [
            record["num_frames"],
            f"{inversion['psnr']:.1f} ({inversion['psnr_worst']:.1f})" if inversion else "latents",
            *(f"{driven[against][OURS]['psnr']:.1f}" if against in driven else "" for against in _AGAINST),
        ]
        aligned = (f"{cell:>{len(title)}}" for cell, title in zip(cells, columns, strict=True))
        lines.append("  ".join([f"{name:{width}}", *aligned]))
    for method in (name for name in measured["self"][INVERTED] if name not in COPIES):
        driven = {key: rows[method]["psnr"] for key, rows in measured["self"].items()}
        told = [f"self-driven {', '.join(f'{driven[k]:.1f} dB to {v}' for k, v in _AGAINST.items() if k in driven)}"]
        if "cross" in measured:
            told.append(f"cross-driven {_crossed(measured['cross'][method], measured)}")
        lines.append(f"{method}: {'; '.join(told)}")
    return "\n".join(lines)


def _crossed(scores: Mapping[str, float | None], measured: Mapping[str, Any]) -> str:
    """The numbers of a cross-driven clip in words."""
    words = {name: name for name in measured["proxies"]}
    words |= {JITTER: "jitter ratio", LATENT_JITTER: LATENT_JITTER_TITLE}
    found = {words[name]: scores.get(name) for name in words}
    return ", ".join(f"{word} {value:.3f}" for word, value in found.items() if value is not None)
