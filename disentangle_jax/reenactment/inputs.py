"""What --source and --driving name: a photo, photos or frames of a folder, a video, a latent file, seed:N or clip:N."""

from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from disentangle_jax import arrays, media
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import load_domain
from disentangle_jax.evaluation.motion import make_animator, sample_loop
from disentangle_jax.inversion import encoders, portraits
from disentangle_jax.inversion.latent_files import LatentClip, read_latents
from disentangle_jax.inversion.methods import check_space
from disentangle_jax.inversion.opening import FRAMES, frame, open_pictures
from disentangle_jax.inversion.pieces import invert_pieces, piece_size
from disentangle_jax.latents import sample_ws
from disentangle_jax.reenactment.footage import Footage, LatentFootage, PictureFootage
from stylegan2_flax import files
from stylegan2_flax.run.config_rules import MAX_SEED


class Reading(NamedTuple):
    """How inputs become latents.

    Attributes:
        config: `configs/transfer.py`.
        psi: truncation of random faces; None for that of the training clips.
        label: of a conditional generator: the class of random faces; None for those of the training clips.
        align: of pictures, one of `portraits.ALIGN`.
        face_finder: finds the faces that are aligned; see `portraits.load_finder`.
        method: of inversion; see `Disentangler.invert`.
        encoder: of pictures, as `encoders.load` takes it; None for the one that is registered for the generator.
    """

    config: ConfigDict
    psi: float | None = None
    label: int | None = None
    align: str = "auto"
    face_finder: str = portraits.DLIB
    method: str = "auto"
    encoder: str | None = None


def parse_seed(name: str) -> tuple[str, int] | None:
    """The kind and the number of seed:N or clip:N; None for a file. Raises ValueError if N is not a seed."""
    kind, colon, number = name.partition(":")
    if not colon or kind not in ("seed", "clip"):
        return None
    if not number.isdecimal() or len(number) > 10 or int(number) > MAX_SEED:
        raise ValueError(f"{name!r} wants a number after the colon, from 0 to {MAX_SEED}, such as {kind}:1")
    return kind, int(number)


def open_input(model: Disentangler, name: str, reading: Reading) -> list[Footage]:
    """Open what a name stands for: several faces of photos or of their latents, else one face or clip.

    The pictures of a folder are as many faces; of frames:FOLDER they are the frames of one clip of unknown rate.

    Raises:
        FileNotFoundError: there is no such file, or encoder.
        ValueError: it cannot be read, or its latents are of another generator; or pictures are to be read by an encoder
            that there is none of, or that is of another generator.
    """
    if drawn := parse_seed(name):
        return [LatentFootage(name, model, _draw(model, *drawn, reading))]
    path = Path(files.as_path(name))
    if path.suffix.lower() in arrays.SUFFIXES:
        return _open_latents(model, path)
    is_clip = name.startswith(FRAMES)
    pictures = open_pictures(name)
    return [_open_pictures(model, frames, reading, is_clip=is_clip or frames.fps is not None) for frames in pictures]


def _open_latents(model: Disentangler, path: Path) -> list[Footage]:
    """Latents of a file, of photos or of a clip; the generator that was tuned to them draws them, if there is one."""
    clip = read_latents(path, model.generator)
    if (tuned := clip.load_tuned(path)) is not None:
        model = Disentangler(model.autoencoder, tuned, model.directions, model.config)
    if clip.are_photos and clip.num_frames is not None:
        faces = enumerate(clip.ws)
        return [LatentFootage(f"{path.name}, photo {number}", model, clip._replace(ws=ws)) for number, ws in faces]
    return [LatentFootage(path.name, model, clip)]


def _open_pictures(model: Disentangler, frames: media.Frames, reading: Reading, *, is_clip: bool) -> PictureFootage:
    encoder, settings = load_encoder(model, reading), reading.config.inversion
    check_space(reading.method, settings.space)
    name, size, channels = model.config.generator, model.generator.img_resolution, model.generator.img_channels
    pictures = frame(frames, name, size, channels, reading.align, reading.face_finder, reading.config.fps)
    one_piece = partial(model.invert, method=reading.method, encoder=encoder, settings=settings)
    invert = partial(invert_pieces, invert=one_piece, size=piece_size(settings, size), clip=is_clip)
    return PictureFootage(model, pictures, is_clip, invert)


def load_encoder(model: Disentangler, reading: Reading) -> encoders.ImageEncoder | None:
    """The encoder by which pictures are inverted, which is kept for the next ones; None if there is none.

    Raises:
        FileNotFoundError: there is no such encoder.
        ValueError: it is of another generator; or the method needs one that is not there, or none.
    """
    encoders.check_is_used(reading.encoder, reading.method)
    encoder = _load_encoder(model, reading.encoder)
    encoders.check_is_there(encoder, reading.method)
    return encoder


@lru_cache(maxsize=1)  # published ones have a gigabyte
def _load_encoder(model: Disentangler, source: str | None) -> encoders.ImageEncoder | None:
    return encoders.load(source, model.generator) if source else encoders.load_for(model.config.generator)


def check_encoder_is_used(reading: Reading, footage: Iterable[Footage]) -> None:
    """Raise ValueError if an encoder is given, and no picture that it could read."""
    if reading.encoder and not any(isinstance(one, PictureFootage) for one in footage):
        raise ValueError("--encoder says how pictures are inverted, and there are none: leave it out")


def _draw(model: Disentangler, kind: str, number: int, reading: Reading) -> LatentClip:
    """A random face, or one in motion."""
    clips = model.config.clips
    face_key, motion_key = jax.random.split(jax.random.key(number))
    classes = tuple(clips.classes) if reading.label is None else (reading.label,)
    psi = clips.truncation_psi if reading.psi is None else reading.psi
    face = sample_ws(model.generator.mapping, face_key, 1, psi, classes)
    if kind == "seed":
        return LatentClip(np.asarray(face[0]), None)
    plan = model.config.evaluation.motion
    animator = make_animator(load_domain(model.config.generator), model.directions, plan)
    motion = sample_loop(motion_key, plan.num_frames, len(animator.names))
    return LatentClip(np.asarray(animator.animate(face, motion[None])[0]), None)
