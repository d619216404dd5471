"""Motion of drivings on the faces of sources: structure codes frame by frame, and pictures of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from disentangle_jax import media
from disentangle_jax.batching import render_batch
from disentangle_jax.reenactment.encoding import Encoded, structure_scale
from disentangle_jax.reenactment.footage import render
from disentangle_jax.reenactment.smoothing import OneEuro, smooth


class Motion(NamedTuple):
    """How motion is carried over.

    Attributes:
        reference: "first", "best" (the frame whose structure is nearest to the source's), "mean", or the number of the
            frame that motion is measured from, and added to the source's own structure; None takes over the structure
            itself.
        strength: factor on the change of structure.
        smoothing: of driving clips; None for none.
    """

    reference: str | None
    strength: float
    smoothing: OneEuro | None


def drive(
    sources: Sequence[Encoded], drivings: Sequence[Encoded], motion: Motion, fps: float
) -> tuple[int | None, list[list[Iterator[UInt8[np.ndarray, "h w 3"]]]]]:
    """Give every source the motion of every driving.

    Args:
        sources, drivings: single faces and clips. The result ends with the shortest clip.
        motion: how it is carried over.
        fps: frames per second, for the smoothing.

    Returns:
        The number of frames, None if there are only single faces; and for each source, for each driving, the frames,
        which are drawn as they are asked for.

    Raises:
        ValueError: there is no such reference frame.
    """
    num_frames = min((len(face.structure) for face in (*sources, *drivings) if face.is_clip), default=None)
    drivings = [smoothed(driving, motion.smoothing, fps) for driving in drivings]
    return num_frames, [
        [_draw(source, carry_over(source, driving, motion), num_frames or 1) for driving in drivings]
        for source in sources
    ]


def smoothed(driving: Encoded, constants: OneEuro | None, fps: float) -> Encoded:
    """The driving with its structure smoothed over time, if it is a clip."""
    if constants is None or not driving.is_clip:
        return driving
    scale = structure_scale(driving.model)
    return driving._replace(structure=scale * smooth(driving.structure / scale, fps, constants))


def carry_over(source: Encoded, driving: Encoded, motion: Motion) -> Float[np.ndarray, "t s"]:
    """Structure codes of a source that moves as the driving: until the shorter clip ends, or t = 1 for single faces.

    The smoothing of `motion` is not looked at: see `smoothed`. Raises ValueError if there is no such reference frame.
    """
    start = _reference(motion.reference, driving.structure, source.structure[0])
    rows = np.arange(min((len(face.structure) for face in (source, driving) if face.is_clip), default=1))
    own, structure = (_rows(face.structure, rows) for face in (source, driving))
    return own + np.float32(motion.strength) * (structure - (own if start is None else start))


def check_reference(choice: str, last: int | None = None) -> None:
    """Raise ValueError unless it is first, best, mean, or a frame's number, at most `last` where that is known."""
    is_number = choice.isdecimal() and len(choice) <= 9
    if choice in ("first", "best", "mean") or (is_number and (last is None or int(choice) <= last)):
        return
    numbers = "from 0" if last is None else f"from 0 to {last}"
    raise ValueError(f"--reference: there is no frame {choice}; say first, best, mean, or a frame's number, {numbers}")


def _reference(
    choice: str | None, driving: Float[np.ndarray, "t s"], own: Float[np.ndarray, "s"]
) -> Float[np.ndarray, "s"] | None:
    """The structure that motion is measured from; None for that of the source."""
    match choice:
        case None:
            return None
        case "first":
            return driving[0]
        case "best":
            return driving[np.argmin(np.linalg.norm(driving - own, axis=-1))]
        case "mean":
            return driving.mean(axis=0)
    check_reference(choice, len(driving) - 1)
    return driving[int(choice)]


def _draw(
    source: Encoded, structure: Float[np.ndarray, "t s"], num_frames: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield frames of a source with these structure codes; only one batch of them is in memory."""
    model = source.model
    batch = min(num_frames, render_batch(model.generator.img_resolution))
    for start in range(0, num_frames, batch):
        rows = np.arange(start, start + batch).clip(max=num_frames - 1)  # the last batch is padded, to compile once
        ws = model.decode(*(_rows(codes, rows) for codes in (source.appearance, structure)))
        for _, image in zip(range(num_frames - start), render(model, ws), strict=False):
            yield media.to_uint8(image)


def _rows(codes: Float[np.ndarray, "t s"], rows: np.ndarray) -> Float[np.ndarray, "n s"]:
    """Codes of these frames; those of a single face for each."""
    return codes[rows] if len(codes) > 1 else np.repeat(codes, len(rows), axis=0)
