"""Clips that `evaluate` is given: opened and checked before anything is measured, then inverted."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from disentangle_jax import media
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.evaluation.given_clips import LEAST_FRAMES, GivenClip
from disentangle_jax.inversion import portraits
from disentangle_jax.inversion.opening import FRAMES
from disentangle_jax.inversion.pieces import joined, progress
from disentangle_jax.inversion.portraits import Framed
from disentangle_jax.reenactment import inputs, quality
from disentangle_jax.reenactment.clip_flags import KINDS, ClipOptions
from disentangle_jax.reenactment.footage import Footage, LatentFootage, PictureFootage, count_frames


class Opened(NamedTuple):
    """A clip with its name in the results; `total` as of `GivenClip`."""

    name: str
    footage: Footage
    total: int | None


def open_clips(model: Disentangler, options: ClipOptions, face_finder: str = portraits.DLIB) -> list[Opened]:
    """Open clips and read all their frames once, so that what is wrong with one is told before any work.

    Says which of them have more frames than are looked at.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is no clip of `LEAST_FRAMES` frames, shows no face where one is wanted, or holds
            latents of another generator; or an option is invalid.
        ImportError: a package is missing that reads it.
    """
    reading = options.reading(face_finder)
    opened = [_open(model, name, reading, options.most) for name in options.clip]
    inputs.check_encoder_is_used(reading, (clip.footage for clip in opened))
    shared = Counter(clip.name for clip in opened)
    named = zip(options.clip, opened, strict=True)
    opened = [clip._replace(name=given) if shared[clip.name] > 1 or not clip.name else clip for given, clip in named]
    for clip in opened:
        if clip.total is not None:
            of = f" of about {clip.total}" if clip.total else ""
            print(f"{clip.name}: only the first {options.most}{of} frames are looked at (--clip_frames)")
    pictured = (clip.footage for clip in opened if isinstance(clip.footage, PictureFootage))
    portraits.tell_licence((footage.pictures.placement for footage in pictured), face_finder)
    return opened


def invert_clips(opened: Sequence[Opened], options: ClipOptions, on_stage: Callable[[str], None]) -> list[GivenClip]:
    """The latents of clips. Warns of those that were not found well; `on_stage` is told which clip is next."""
    poor = options.reading().config.inversion.warn_below_psnr
    clips = []
    for clip in opened:
        on_stage(f"{clip.name}: its latents")
        clips.append(_invert(clip, poor))
    return clips


def _invert(opened: Opened, poor: float) -> GivenClip:
    footage = opened.footage
    found = joined(progress(footage.pieces(), opened.name, footage.num_frames))
    for doubt in quality.doubts(footage, found, poor):
        warnings.warn(doubt, stacklevel=3)
    pictures = partial(iter, footage.pictures) if isinstance(footage, PictureFootage) else None
    return GivenClip(opened.name, np.asarray(found.ws), footage.model.render, pictures, opened.total)


def _open(model: Disentangler, name: str, reading: inputs.Reading, most: int) -> Opened:
    found = inputs.open_input(model, name, reading)
    footage = found[0]
    if len(found) > 1 and isinstance(footage, LatentFootage):
        raise ValueError(f"--clip={name} holds latents of {len(found)} photos, and no clip")
    if len(found) > 1 or Path(name).expanduser().is_dir():
        raise ValueError(
            f"--clip={name} is a folder of photos, which are as many faces: if they are the frames of one clip, say "
            f"--clip={FRAMES}{name}"
        )
    if footage.num_frames is None:
        raise ValueError(f"--clip={name} is a single picture: give a clip of at least {LEAST_FRAMES} frames, {KINDS}")
    count, footage, total = _shortened(footage, most)
    if count < LEAST_FRAMES:
        raise ValueError(
            f"--clip={name} has {count} frame{'s' * (count != 1)}: give a clip of at least {LEAST_FRAMES}, since a "
            "shorter one has no motion whose jitter could be told"
        )
    if isinstance(footage, PictureFootage):
        _ = footage.pictures.placement  # which reads all frames, and looks for faces if they are to be aligned
    return Opened(footage.name, footage, total)


def _shortened(footage: Footage, most: int) -> tuple[int, Footage, int | None]:
    """How many frames are looked at, the footage of these alone, and how many there are if that is more."""
    match footage:
        case LatentFootage(clip=clip):
            count = len(clip.ws)
            cut = replace(footage, clip=clip._replace(ws=clip.ws[:most]))
            return min(count, most), cut, count if count > most else None
        case PictureFootage(pictures=Framed(frames=frames)):
            seen = count_frames(footage, most + 1)
            count = min(seen, most)
            cut = replace(frames, read=partial(_first, frames, count), num_frames=count)
            total = max(seen, frames.num_frames or 0) if frames.num_frames else 0
            return count, footage.with_frames(cut), total if seen > most else None
    raise TypeError(f"footage of another kind: {type(footage).__name__}")


def _first(frames: media.Frames, count: int) -> Iterator[np.ndarray]:
    return islice(iter(frames), count)
