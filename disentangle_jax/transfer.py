"""Transfer pose and expression from one face to another:

    python -m disentangle_jax.transfer --model=runs/demo --source=seed:1 --driving=seed:2 --out=transfer.png
    python -m disentangle_jax.transfer --model=runs/demo --source=face.npy --driving=clip:3 --out=transfer.gif
    --relative

A face is seed:N (a random one of the generator) or a latent file, .safetensors, .npy, .npz or .pt, of shape [d] (W),
[l, d] (W+) or [t, l, d] (a clip). clip:N is the face of seed:N in motion. The output shows source, driving and result
side by side. A video keeps the driving's frames a second, which a latent file tells as `fps` (in the metadata of
.safetensors, or as an array of an .npz); --fps sets another.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import flags
from jaxtyping import Array, Float
from tqdm import tqdm

from disentangle_jax import media
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import load_domain
from disentangle_jax.evaluation.motion import make_animator, sample_loop
from disentangle_jax.inversion.latent_files import LatentClip, read_latents
from disentangle_jax.latents import sample_ws
from disentangle_jax.scores import in_batches, render_batch
from stylegan2_flax import command, files
from stylegan2_flax.run.config_rules import MAX_SEED

FLAGS = flags.FlagValues()
MODEL = flags.DEFINE_string(
    "model",
    None,
    "a training workdir, an exported folder, or a model that an installed package registers",
    required=True,
    flag_values=FLAGS,
)
flags.DEFINE_alias("workdir", "model", flag_values=FLAGS)
SOURCE = flags.DEFINE_string(
    "source", None, "whose appearance: seed:N, clip:N or a latent file", required=True, flag_values=FLAGS
)
DRIVING = flags.DEFINE_string(
    "driving", None, "whose pose and expression: seed:N, clip:N or a latent file", required=True, flag_values=FLAGS
)
OUT = flags.DEFINE_string(
    "out",
    None,
    "what to write: .png, .jpg or .webp of a picture, .gif or .mp4 of a clip",
    required=True,
    flag_values=FLAGS,
)
RELATIVE = flags.DEFINE_bool(
    "relative", False, "carry over how the driving clip moves, not how its frames look", flag_values=FLAGS
)
REFERENCE = flags.DEFINE_string(
    "reference",
    None,
    "with --relative, the frame that motion is measured from: first (if not said), best (nearest the source), or N",
    flag_values=FLAGS,
)
STRENGTH = flags.DEFINE_float(
    "strength", 1.0, "0 leaves the source's own expression, 1 transfers, more exaggerates", flag_values=FLAGS
)
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

_SIZE = 256  # pixels of a face in the output, at least
_FPS = 12.0  # frames per second of clips without a rate


class Options(NamedTuple):
    """The values of the flags."""

    relative: bool
    reference: str | None
    strength: float
    psi: float | None
    label: int | None
    fps: float | None
    force: bool


class TransferMode(NamedTuple):
    """Arguments of `Disentangler.transfer`."""

    relative: bool
    reference: int
    strength: float


def main() -> None:
    options = Options(RELATIVE.value, REFERENCE.value, STRENGTH.value, PSI.value, CLASS.value, FPS.value, FORCE.value)
    out = files.local_path(OUT.value, "--out")
    transfer(MODEL.value, SOURCE.value, DRIVING.value, out, options)
    print(f"Wrote {out}")


def transfer(model_name: str, source_name: str, driving_name: str, out: Path, options: Options) -> None:
    """Write an image or a video of source, driving and result.

    Args:
        model_name: see `Disentangler.load`.
        source_name, driving_name: seed:N, clip:N or a latent file.
        out: file to write.
        options: the values of the flags.

    Raises:
        ValueError: the arguments contradict each other, or a file is invalid.
        OSError: a file is missing, or `out` cannot be written.
    """
    _check(source_name, driving_name, out, options)
    model = Disentangler.load(model_name)
    source, driving = (_load_input(model, name, options) for name in (source_name, driving_name))
    num_frames = _num_frames(source, driving, options.relative, out)
    reference = _reference(model, source, driving, options.reference or "first") if options.relative else 0
    mode = TransferMode(options.relative, reference, options.strength)
    if num_frames is None:
        media.save_image(draw(model, source, driving, mode), out)
        return
    with media.open_video(out, options.fps or driving.fps or source.fps or _FPS) as video:
        for frame in tqdm(draw_clip(model, source, driving, mode), total=num_frames, unit=" frames", disable=None):
            video.write(frame)


def draw(
    model: Disentangler, source: LatentClip, driving: LatentClip, mode: TransferMode
) -> Float[np.ndarray, "height width 3"]:
    """An image of source, driving and result, side by side."""
    result = model.transfer(source.ws, driving.ws, strength=mode.strength)
    latents = {"source": source.ws, "driving": driving.ws, "result": result}
    return _side_by_side(model, {title: _render(model, ws[None])[0] for title, ws in latents.items()})


def draw_clip(
    model: Disentangler, source: LatentClip, driving: LatentClip, mode: TransferMode
) -> Iterator[Float[np.ndarray, "height width 3"]]:
    """Yield frames of source, driving and result, side by side. Only one batch of frames is in memory."""
    clips = {"source": source, "driving": driving}
    num_frames = next(n for n in (driving.num_frames, source.num_frames) if n is not None)
    still = {title: _render(model, clip.ws[None])[0] for title, clip in clips.items() if clip.num_frames is None}
    batch = min(num_frames, render_batch(model.generator.img_resolution))
    for start in range(0, num_frames, batch):
        rows = np.arange(start, start + batch).clip(max=num_frames - 1)  # the last batch is padded, to compile once
        drawn = {title: _render(model, clip.ws[rows]) for title, clip in clips.items() if title not in still}
        drawn["result"] = _render(model, _transfer_rows(model, source, driving, mode, rows))
        for i in range(min(batch, num_frames - start)):
            frame = {title: images[i] for title, images in drawn.items()}
            yield _side_by_side(model, {title: (still | frame)[title] for title in (*clips, "result")})


def _transfer_rows(
    model: Disentangler, source: LatentClip, driving: LatentClip, mode: TransferMode, rows: np.ndarray
) -> Float[Array, "t l d"]:
    """These frames of the result. For relative transfer the reference frame is prepended and removed again."""
    wanted = np.array([mode.reference, *rows]) if mode.relative else rows
    source_ws, driving_ws = (clip.ws if clip.num_frames is None else clip.ws[wanted] for clip in (source, driving))
    result = model.transfer(source_ws, driving_ws, relative=mode.relative, strength=mode.strength)
    return result[1:] if mode.relative else result


def _render(model: Disentangler, ws: Float[Array | np.ndarray, "n l d"]) -> Float[np.ndarray, "n size size 3"]:
    """Render latents as RGB images of the displayed size."""
    return media.resize(media.to_rgb(model.render(ws)), max(_SIZE, model.generator.img_resolution))


def _side_by_side(
    model: Disentangler, images: Mapping[str, Float[np.ndarray, "h w 3"]]
) -> Float[np.ndarray, "height width 3"]:
    size = max(_SIZE, model.generator.img_resolution)
    return media.titled_columns({title: image[None] for title, image in images.items()}, size)


def _check(source_name: str, driving_name: str, out: Path, options: Options) -> None:
    """Check the arguments before anything is loaded. Raises ValueError, OSError or ImportError."""
    media.check_output(out)
    if out.exists() and not options.force:
        raise ValueError(f"{out} exists already: give another --out, or --force to write over it")
    for name in ("strength", "psi", "fps"):
        value = getattr(options, name)
        if value is not None and not math.isfinite(value):
            raise ValueError(f"--{name} must be a finite number; got {value}")
    if options.fps is not None:
        if options.fps <= 0:
            raise ValueError(f"--fps must be positive; got {options.fps:g}")
        if out.suffix.lower() not in media.VIDEO_SUFFIXES:
            raise ValueError(f"--fps is for videos: end --out in {' or '.join(media.VIDEO_SUFFIXES)}")
    if options.reference is not None and not options.relative:
        raise ValueError("--reference is the frame that --relative measures motion from: say --relative too")
    if not any([_parse_seed(name) for name in (source_name, driving_name)]):
        for name, value in (("psi", options.psi), ("class", options.label)):
            if value is not None:
                raise ValueError(f"--{name} is for seed:N and clip:N, but --source and --driving are both files")


def _parse_seed(name: str) -> tuple[str, int] | None:
    """The kind and the number of seed:N or clip:N; None for a file. Raises ValueError if N is not a seed."""
    kind, colon, number = name.partition(":")
    if not colon or kind not in ("seed", "clip"):
        return None
    if not number.isdecimal() or len(number) > 10 or int(number) > MAX_SEED:
        raise ValueError(f"{name!r} wants a number after the colon, from 0 to {MAX_SEED}, such as {kind}:1")
    return kind, int(number)


def _load_input(model: Disentangler, name: str, options: Options) -> LatentClip:
    """Load or sample the latents that --source or --driving names."""
    drawn = _parse_seed(name)
    if drawn is None:
        return read_latents(name, model.generator)
    kind, number = drawn
    clips = model.config.clips
    face_key, motion_key = jax.random.split(jax.random.key(number))
    classes = tuple(clips.classes) if options.label is None else (options.label,)
    psi = clips.truncation_psi if options.psi is None else options.psi
    face = sample_ws(model.generator.mapping, face_key, 1, psi, classes)
    if kind == "seed":
        return LatentClip(np.asarray(face[0]), None)
    plan = model.config.evaluation.motion
    animator = make_animator(load_domain(model.config.generator), model.directions, plan)
    motion = sample_loop(motion_key, plan.num_frames, len(animator.names))
    return LatentClip(np.asarray(animator.animate(face, motion[None])[0]), None)


def _num_frames(source: LatentClip, driving: LatentClip, relative: bool, out: Path) -> int | None:
    """The number of frames of the result; None for an image. Raises ValueError if inputs and `out` do not fit."""
    lengths = {clip.num_frames for clip in (source, driving)} - {None}
    if len(lengths) > 1:
        raise ValueError(
            f"the source has {source.num_frames} frames and the driving {driving.num_frames}: give two clips of one "
            "length, or a face and a clip"
        )
    if relative and driving.num_frames is None:
        raise ValueError("--relative carries over the motion of a clip, but --driving is a single face")
    num_frames = lengths.pop() if lengths else None
    suffixes = media.IMAGE_SUFFIXES if num_frames is None else media.VIDEO_SUFFIXES
    if out.suffix.lower() not in suffixes:
        kind = "single picture" if num_frames is None else f"clip of {num_frames} frames"
        raise ValueError(f"the result is a {kind}: end --out in {' or '.join(suffixes)} instead of {out.suffix}")
    return num_frames


def _reference(model: Disentangler, source: LatentClip, driving: LatentClip, choice: str) -> int:
    """The index of the frame that --reference names; "best" is the frame with the structure nearest to the source."""
    if choice == "first":
        return 0
    if choice == "best":
        own = np.asarray(model.encode(source.ws if source.num_frames is None else source.ws[0]).structure)
        driving_codes = in_batches(lambda ws: model.encode(ws).structure, 64, driving.ws)
        return int(np.argmin(np.linalg.norm(driving_codes - own, axis=-1)))
    last = len(driving.ws) - 1
    if not choice.isdecimal() or len(choice) > 9 or int(choice) > last:
        raise ValueError(
            f"--reference: there is no frame {choice}; say first, best, or the number of a frame, from 0 to {last}"
        )
    return int(choice)


if __name__ == "__main__":
    command.run(main, FLAGS)
