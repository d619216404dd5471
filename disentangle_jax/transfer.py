"""Transfer pose and expression from one face to another:

    python -m disentangle_jax.transfer --model=runs/mine --source=photo.jpg --driving=video.mp4 --out=result.mp4
    python -m disentangle_jax.transfer --model=runs/demo --source=seed:1 --driving=clip:3 --out=transfer.gif --relative
    python -m disentangle_jax.transfer --model=runs/mine --source=photos/ --driving=seed:2 --out=grid.png

A face is a photo, a video, a GIF, a latent file, seed:N (a random one of the generator) or clip:N (that of seed:N in
motion). The pictures of a folder are as many faces; of frames:FOLDER they are the frames of one clip. A latent file is
.safetensors, .npy, .npz or .pt, of shape [d] (W), [l, d] (W+) or [t, l, d] (a clip). Several sources or drivings
(--source=a.jpg --source=b.jpg) give a grid. The sound of the driving, or else of the source, is kept in an .mp4, unless
--fps changes the speed.
"""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict
from tqdm import tqdm

from disentangle_jax import configs, media, model_sources
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion import METHODS, encoders, portraits
from disentangle_jax.inversion.opening import FRAMES
from disentangle_jax.reenactment import inputs, quality, rules, showing
from disentangle_jax.reenactment.encoding import Encoded, encode
from disentangle_jax.reenactment.footage import Footage, PictureFootage, count_frames
from disentangle_jax.reenactment.motion import Motion, check_reference, drive
from disentangle_jax.reenactment.smoothing import OneEuro
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag

FLAGS = flags.FlagValues()
MODEL = model_sources.define_flag(FLAGS)
flags.DEFINE_alias("workdir", "model", flag_values=FLAGS)
_KINDS = (
    "a photo, a folder of photos, a video, a GIF, frames:FOLDER, a latent file, seed:N or clip:N; may be given several "
    "times"
)
SOURCE = flags.DEFINE_multi_string("source", None, f"whose appearance: {_KINDS}", required=True, flag_values=FLAGS)
DRIVING = flags.DEFINE_multi_string(
    "driving", None, f"whose pose and expression: {_KINDS}", required=True, flag_values=FLAGS
)
OUT = flags.DEFINE_string(
    "out",
    None,
    "what to write: .png, .jpg or .webp of a picture; .mp4, .gif or .webp of a clip, or a new folder for its frames",
    required=True,
    flag_values=FLAGS,
)
SHOW = flags.DEFINE_enum(
    "show",
    "beside",
    showing.SHOW,
    "the result beside source and driving, the result alone, or the result pasted into the source's pictures",
    flag_values=FLAGS,
)
ALIGN = flags.DEFINE_enum(
    "align",
    "auto",
    portraits.ALIGN,
    "what of a picture is inverted: a face, aligned as in FFHQ; the middle (none); auto decides by the generator",
    flag_values=FLAGS,
)
FACE_FINDER = portraits.define_finder_flag(FLAGS)
METHOD = flags.DEFINE_enum(
    "method",
    "auto",
    METHODS,
    "how pictures are inverted: by an encoder, by optimisation, or both (auto)",
    flag_values=FLAGS,
)
ENCODER = encoders.define_flag(FLAGS)
RELATIVE = flags.DEFINE_bool(
    "relative", False, "carry over how the driving clip moves, not how its frames look", flag_values=FLAGS
)
REFERENCE = flags.DEFINE_string(
    "reference",
    None,
    "with --relative, the frame that motion is measured from: first (if not said), best (nearest the source), mean of "
    "all, or N",
    flag_values=FLAGS,
)
STRENGTH = flags.DEFINE_float(
    "strength", 1.0, "0 leaves the source's own expression, 1 transfers, more exaggerates", flag_values=FLAGS
)
SMOOTH = flags.DEFINE_bool("smooth", False, "smooth the driving clip's motion over time", flag_values=FLAGS)
PSI = flags.DEFINE_float(
    "psi", None, "truncation of seed:N and clip:N (if not said: that of the training clips)", flag_values=FLAGS
)
CLASS = flags.DEFINE_integer(
    "class", None, "of a conditional generator: the class of seed:N and clip:N", lower_bound=0, flag_values=FLAGS
)
FPS = flags.DEFINE_float(
    "fps", None, "frames a second of a video (if not said: those of the driving, or of the source)", flag_values=FLAGS
)
FORCE = flags.DEFINE_bool("force", False, "write over what is there", flag_values=FLAGS)
CONFIG = config_flag.define(FLAGS, configs, default="transfer")


class Options(NamedTuple):
    """The values of the flags."""

    reading: inputs.Reading
    relative: bool
    reference: str | None
    strength: float
    smooth: bool
    show: str
    fps: float | None
    force: bool


def main() -> None:
    motion = (RELATIVE.value, REFERENCE.value, STRENGTH.value, SMOOTH.value)
    reading = inputs.Reading(
        CONFIG.value,
        psi=PSI.value,
        label=CLASS.value,
        align=ALIGN.value,
        face_finder=FACE_FINDER.value,
        method=METHOD.value,
        encoder=ENCODER.value,
    )
    options = Options(reading, *motion, SHOW.value, FPS.value, FORCE.value)
    out = files.local_path(OUT.value, "--out")
    transfer(MODEL.value, SOURCE.value, DRIVING.value, out, options)
    print(f"Wrote {out}")


def transfer(
    model_name: str, source_names: Sequence[str], driving_names: Sequence[str], out: Path, options: Options
) -> None:
    """Write a picture or a clip of sources with the structure of drivings.

    Args:
        model_name: see `Disentangler.load`.
        source_names, driving_names: see `inputs.open_input`.
        out: file or folder to write.
        options: the values of the flags.

    Raises:
        ValueError: the arguments contradict each other, or a file is invalid.
        OSError: a file is missing, or `out` cannot be written.
    """
    _check(source_names, driving_names, out, options)
    reading, config = options.reading, options.reading.config
    model = Disentangler.load(model_name)
    sources, drivings = (
        [face for name in names for face in inputs.open_input(model, name, reading)]
        for names in (source_names, driving_names)
    )
    clips = [face for face in (*drivings, *sources) if face.num_frames is not None]
    inputs.check_encoder_is_used(reading, (*sources, *drivings))
    _check_together(sources, drivings, out, options)
    fps = options.fps or next((clip.fps for clip in clips if clip.fps), config.fps)
    if clips:
        media.check_clip(out, fps)
    codes = [[_encode(face, config) for face in faces] for faces in (sources, drivings)]
    pictured = (face for face in (*sources, *drivings) if isinstance(face, PictureFootage))
    portraits.tell_licence((face.pictures.placement for face in pictured), reading.face_finder)
    reference = (options.reference or "first") if options.relative else None
    motion = Motion(reference, options.strength, OneEuro(**config.smooth) if options.smooth else None)
    num_frames, results = drive(codes[0], codes[1], motion, fps)
    pictures = showing.compose(options.show, sources, drivings, results)
    if num_frames is None:
        media.save_image(next(pictures), out)
        return
    sound = next((clip.audio for clip in clips if clip.audio and _is_same_rate(clip.fps, fps)), None)
    with media.open_video(out, fps, sound) as video:
        for picture in tqdm(pictures, out.name, num_frames, unit=" frames", disable=None):
            video.write(picture)


def _encode(footage: Footage, config: ConfigDict) -> Encoded:
    """Encode footage, and say how well it could be inverted."""
    encoded = encode(footage)
    if line := quality.report(footage, encoded):
        print(line)
    for doubt in quality.doubts(footage, encoded, config.inversion.warn_below_psnr):
        warnings.warn(doubt, stacklevel=2)
    return encoded


def _check(source_names: Sequence[str], driving_names: Sequence[str], out: Path, options: Options) -> None:
    """Check the arguments before anything is loaded. Raises ValueError, OSError or ImportError."""
    rules.check(options.reading.config)
    for flag, names in (("--source", source_names), ("--driving", driving_names)):
        for name in names:
            files.local_path(name, flag)
    media.check_output(out, (*media.IMAGE_SUFFIXES, *media.CLIP_SUFFIXES))
    if out.suffix:
        files.check_free([out], options.force)
    for name, value in (("strength", options.strength), ("psi", options.reading.psi), ("fps", options.fps)):
        if value is not None and not math.isfinite(value):
            raise ValueError(f"--{name} must be a finite number; got {value}")
    if options.fps is not None:
        if out.suffix.lower() not in media.CLIP_SUFFIXES:
            raise ValueError(f"--fps is for videos: end --out in {' or '.join(media.VIDEO_SUFFIXES)}")
        media.check_clip(out, options.fps)
    if options.reference is not None and not options.relative:
        raise ValueError("--reference is the frame that --relative measures motion from: say --relative too")
    check_reference(options.reference or "first")
    if not any([inputs.parse_seed(name) for name in (*source_names, *driving_names)]):
        for name, value in (("psi", options.reading.psi), ("class", options.reading.label)):
            if value is not None:
                raise ValueError(f"--{name} is for seed:N and clip:N, but --source and --driving are all files")


def _check_together(sources: Sequence[Footage], drivings: Sequence[Footage], out: Path, options: Options) -> None:
    """Check what is known once the inputs are open, before any is inverted. Raises ValueError."""
    if (cells := len(sources) * len(drivings)) > (most := options.reading.config.max_cells):
        raise ValueError(
            f"{len(sources)} sources and {len(drivings)} drivings are {cells} results, and a grid has at most "
            f"{most} (--config.max_cells); if the pictures of a folder are the frames of a clip, "
            f"say {FRAMES}FOLDER"
        )
    if options.relative and (still := [face.name for face in drivings if face.num_frames is None]):
        raise ValueError(f"--relative carries over the motion of a clip, but --driving={still[0]} is a single face")
    if (number := options.reference or "").isdecimal():
        for face in drivings:
            check_reference(number, count_frames(face, int(number) + 1) - 1)
    if options.smooth and all(face.num_frames is None for face in drivings):
        raise ValueError(f"--smooth calms the motion of a clip, but --driving={drivings[0].name} is a single face")
    if options.show == "pasted" and not (cells == 1 and isinstance(sources[0], PictureFootage)):
        raise ValueError("--show=pasted is for one --source, a photo or a video, and one --driving")
    clips = [face for face in (*sources, *drivings) if face.num_frames is not None]
    suffixes = media.CLIP_SUFFIXES if clips else media.IMAGE_SUFFIXES
    if out.suffix.lower() not in suffixes:
        kind = f"clip, as {clips[0].name} is" if clips else "single picture"
        folders = not clips and any(isinstance(face, PictureFootage) for face in (*sources, *drivings))
        hint = f" (a folder of frames is a clip as {FRAMES}FOLDER)" if folders else ""
        raise ValueError(f"the result is a {kind}: end --out in {media.described(suffixes)}, not in {out.name!r}{hint}")
    if options.fps is not None and not clips:
        raise ValueError("--fps is for clips, but every --source and --driving is a single face")
    for face in (*sources, *drivings):
        if isinstance(face, PictureFootage):
            _ = face.pictures.placement  # which looks for faces where they are to be aligned
    timed = [clip for clip in clips if clip.fps]
    if not all(_is_same_rate(clip.fps, timed[0].fps) for clip in timed):
        rates = ", ".join(f"{clip.name} {clip.fps:g}" for clip in timed)
        warnings.warn(f"frames are paired one by one, though rates differ ({rates} frames a second)", stacklevel=3)


def _is_same_rate(one: float | None, other: float | None) -> bool:
    """Whether rates are equal but for the digits that a file keeps: 29.97 stands for 30000/1001."""
    return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-4)


if __name__ == "__main__":
    command.run(main, FLAGS)
