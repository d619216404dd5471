"""From what the page's controls say to latents, pictures and clips. Needs no Gradio."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from disentangle_jax import media
from disentangle_jax.batching import batch_of, in_batches
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion.latent_files import write_latents
from disentangle_jax.page.axes import find_axes
from disentangle_jax.reenactment import inputs, quality
from disentangle_jax.reenactment.encoding import Encoded, encode
from disentangle_jax.reenactment.footage import Footage, LatentFootage, PictureFootage, render
from disentangle_jax.reenactment.motion import Motion, carry_over, smoothed
from disentangle_jax.reenactment.smoothing import OneEuro

SIZE = 256
"""Pixels of a side of the pictures that are shown, at least."""


class Face(NamedTuple):
    """A source or a driving.

    Attributes:
        name: what it is called.
        encoded: its codes.
        picture: what there is to see of it, or of its first frame.
        fps: frames per second; None if unknown.
        audio: a file with its sound; None if there is none.
        remarks: what there is to say of its inversion, a sentence each.
    """

    name: str
    encoded: Encoded
    picture: UInt8[np.ndarray, "h w 3"]
    fps: float | None
    audio: Path | None
    remarks: tuple[str, ...]


class Controls(NamedTuple):
    """What the controls say.

    Attributes:
        appearance, structure: standard deviations along the axes of the codes.
        strength, relative: see `Disentangler.transfer`; relative is of clips alone.
        smooth: whether the motion of a clip is smoothed.
    """

    appearance: tuple[float, ...]
    structure: tuple[float, ...]
    strength: float = 1.0
    relative: bool = False
    smooth: bool = False


class Editor:
    """A model with the axes of its codes.

    Attributes:
        model: the model.
        reading: how pictures become latents.
        max_frames: of a clip.
        appearance, structure: axes of the codes.
    """

    def __init__(self, model: Disentangler, reading: inputs.Reading, max_frames: int):
        self.model, self.reading, self.max_frames = model, reading, max_frames
        self.appearance, self.structure = find_axes(model)

    def open(self, name: str) -> Face:
        """Read a face or a clip.

        Args:
            name: see `inputs.open_input`; a folder is not for the page.

        Raises:
            OSError: there is no such file.
            ValueError: it cannot be read, has too many frames, or its latents are of another generator.
        """
        found = inputs.open_input(self.model, name, self.reading)
        if len(found) > 1:
            raise ValueError(f"{Path(name).name} holds {len(found)} faces, and the page takes one: give a file of one")
        footage = _bounded(found[0], self.max_frames)
        encoded = encode(footage)
        picture = next(footage.shown(max(SIZE, self.model.generator.img_resolution)))
        report = quality.report(footage, encoded)
        doubts = quality.doubts(footage, encoded, self.reading.config.inversion.warn_below_psnr)
        remarks = tuple(filter(None, (report, *doubts)))
        return Face(footage.name, encoded, picture, footage.fps, footage.audio, remarks)

    def preview(
        self, source: Face, driving: Face | None, controls: Controls, moment: float
    ) -> UInt8[np.ndarray, "h w 3"]:
        """One frame of what `write_clip` writes, without smoothing.

        Args:
            moment: where in the clip, from 0 to 1.
        """
        appearance, structure = self._codes(source, driving, controls._replace(smooth=False))
        frame = round(moment * (len(structure) - 1))
        model = source.encoded.model
        ws = model.decode(appearance[frame : frame + 1], structure[frame : frame + 1])
        return next(_shown(model, np.asarray(ws)))

    def latents(self, source: Face, driving: Face | None, controls: Controls) -> Float[np.ndarray, "t l d"]:
        """Latents of the source, driven and edited; t = 1 for single faces."""
        codes = self._codes(source, driving, controls)
        batch = batch_of(len(codes[0]), self.model.generator.img_resolution)
        return in_batches(self.model.decode, batch, *codes)

    def write_clip(self, path: Path, source: Face, driving: Face | None, controls: Controls) -> None:
        """Write a video. Raises ValueError if neither source nor driving is a clip."""
        fps = self._rate(source, driving)
        if fps is None:
            raise ValueError("Source and driving are single faces: choose a clip, or save the picture")
        faces = [face for face in (driving, source) if face is not None]
        sound = next((face.audio for face in faces if face.fps == fps and face.audio and face.audio.is_file()), None)
        with media.open_video(path, fps, sound) as video:
            for picture in _shown(source.encoded.model, self.latents(source, driving, controls)):
                video.write(picture)

    def write_latents(self, path: Path, source: Face, driving: Face | None, controls: Controls) -> None:
        """Write the latents, as `inversion.latent_files` does."""
        ws, model = self.latents(source, driving, controls), source.encoded.model
        name = f"{source.name} driven by {driving.name}" if driving else source.name
        fps = self._rate(source, driving)
        write_latents(path, ws, model.generator, name=model.config.generator, source=name, fps=fps)

    def _codes(
        self, source: Face, driving: Face | None, controls: Controls
    ) -> tuple[Float[np.ndarray, "t a"], Float[np.ndarray, "t s"]]:
        face = source.encoded
        structure = face.structure if driving is None else self._carried(source, driving, controls)
        rows = np.arange(len(structure)).clip(max=len(face.appearance) - 1)
        appearance = self.appearance.move(face.appearance[rows], controls.appearance)
        return appearance, self.structure.move(structure, controls.structure)

    def _carried(self, source: Face, driving: Face, controls: Controls) -> Float[np.ndarray, "t s"]:
        is_clip = driving.encoded.is_clip
        motion = Motion("first" if controls.relative and is_clip else None, controls.strength, None)
        constants = OneEuro(**self.reading.config.smooth) if controls.smooth else None
        fps = self._rate(source, driving) or self.reading.config.fps
        return carry_over(source.encoded, smoothed(driving.encoded, constants, fps), motion)

    def _rate(self, source: Face, driving: Face | None) -> float | None:
        """Frames per second of the result; None if it is a single face."""
        clips = [face for face in (driving, source) if face is not None and face.encoded.is_clip]
        return next((clip.fps for clip in clips if clip.fps), self.reading.config.fps) if clips else None


def _shown(model: Disentangler, ws: Float[np.ndarray, "t l d"]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Pictures of latents, at the size that is shown."""
    size = max(SIZE, model.generator.img_resolution)
    for image in render(model, ws):
        yield media.to_uint8(media.resize(image[None], size)[0])


def _bounded(footage: Footage, most: int) -> Footage:
    """The footage, which raises ValueError where it goes on for too long, whatever its file says of its length."""
    if isinstance(footage, LatentFootage) and (footage.num_frames or 1) > most:
        raise ValueError(_too_long(footage.name, most))
    if not isinstance(footage, PictureFootage):
        return footage
    frames = footage.pictures.frames

    def read() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for number, picture in enumerate(frames):
            if number == most:
                raise ValueError(_too_long(footage.name, most))
            yield picture

    return footage.with_frames(replace(frames, read=read))


def _too_long(name: str, most: int) -> str:
    return f"{name} has more than {most} frames: cut out a shorter piece, or start the page with a larger --max_frames"
