"""Find the latents of your own photos or video:

    python -m disentangle_jax.invert --model=runs/mine --input=photo.png --out=latents.safetensors
    python -m disentangle_jax.invert --generator=ffhq.pkl --input=video.mp4 --out=latents.safetensors \\
        --encoder=e4e_ffhq_encode.pt --tune_steps=300

Writes --out, for `transfer` and others, and beside it the input next to what the generator makes of the latents: a
.png of photos, a .gif of a GIF, a .mp4 of other clips. With --tune_steps it writes a generator, too, which was tuned
to draw the input exactly and which transfer takes.

The input is a photo, a folder of photos, an animation or a video. Photographed faces are aligned as FFHQ's are.
"""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from jaxtyping import Float
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax import configs, media
from disentangle_jax.batching import batched
from disentangle_jax.configs import inversion
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.generators import is_registered, load_generator
from disentangle_jax.inversion import METHODS, Inversion, encoders, invert, portraits
from disentangle_jax.inversion.distances import load_distance
from disentangle_jax.inversion.latent_files import FAR, TUNED, write_latents
from disentangle_jax.inversion.latent_space import LatentSpace
from disentangle_jax.inversion.optimisation import measured
from disentangle_jax.inversion.pieces import invert_pieces
from disentangle_jax.inversion.portraits import ALIGN, alignment
from disentangle_jax.inversion.rules import RULES
from disentangle_jax.inversion.tuning import tune
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag, config_rules

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs, default="inversion")
MODEL = flags.DEFINE_string(
    "model",
    None,
    "a training workdir, an exported folder, or a model that an installed package registers: its generator",
    flag_values=FLAGS,
)
GENERATOR = flags.DEFINE_string(
    "generator", None, "instead of --model: a generator's name, file or URL", flag_values=FLAGS
)
INPUT = flags.DEFINE_string(
    "input", None, "photo, folder of photos, animation or video", required=True, flag_values=FLAGS
)
OUT = flags.DEFINE_string("out", None, "what to write: a .safetensors file", required=True, flag_values=FLAGS)
METHOD = flags.DEFINE_enum(
    "method",
    "auto",
    list(METHODS),
    "encoder; optimise, from samples; auto: a few steps from the encoder's latents if there is one, else optimise",
    flag_values=FLAGS,
)
ENCODER = encoders.define_flag(FLAGS)
DISTANCE = flags.DEFINE_string(
    "distance",
    "none",
    "what is compared beside pixels: none, a scorer's name, lpips:PATH of VGG16's weights, or package.module:factory",
    flag_values=FLAGS,
)
ALIGNMENT = flags.DEFINE_enum(
    "align", "auto", list(ALIGN), "ffhq: cut faces out as FFHQ shows them; none; auto: where it makes sense", FLAGS
)
FACE_FINDER = portraits.define_finder_flag(FLAGS)
STEPS = flags.DEFINE_integer(
    "steps", None, "of optimisation (if not said: the config's)", lower_bound=1, flag_values=FLAGS
)
TUNE_STEPS = flags.DEFINE_integer(
    "tune_steps", None, "of tuning the generator (if not said: the config's)", lower_bound=0, flag_values=FLAGS
)
SPACE = flags.DEFINE_enum("space", None, ["w", "w+"], "(if not said: the config's)", flag_values=FLAGS)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "images optimised at once (if not said: the config's)", lower_bound=1, flag_values=FLAGS
)
FORCE = flags.DEFINE_bool("force", False, "write over what is there", flag_values=FLAGS)

_SIZE = 256  # pixels of a picture in the output, at least
_SHOWN = 16  # photos in the output, at most
_LISTED = 8  # images that are told of one by one, at most


@dataclass(frozen=True)
class Pictures:
    """What is inverted. Iterating yields images of the generator's size, read anew each time: none is kept.

    Attributes:
        parts: a clip, or photos.
        fps: frames per second of a clip; None of photos.
    """

    parts: Sequence[portraits.Framed]
    fps: float | None

    @property
    def is_clip(self) -> bool:
        return self.fps is not None

    def __len__(self) -> int:
        return sum(len(part.placement.squares) for part in self.parts)

    def __iter__(self) -> Iterator[Float[np.ndarray, "h w c"]]:
        return itertools.chain.from_iterable(self.parts)


class Found(NamedTuple):
    """Latents of images, with what `Inversion` has beside them, but for the images."""

    ws: Float[np.ndarray, "n l d"]
    psnr: Float[np.ndarray, "n"]
    deviations: Float[np.ndarray, "n"]


def main() -> None:
    said = {"space": SPACE.value, "batch_size": BATCH_SIZE.value, "tune.steps": TUNE_STEPS.value}
    said |= {f"{phase}.steps": STEPS.value for phase in ("optimise", "refine")}
    config = _settings(CONFIG.value, said)
    encoders.check_is_used(ENCODER.value, METHOD.value)
    out, source = files.local_path(OUT.value, "--out"), files.local_path(INPUT.value, "--input")
    frames = media.read_frames(source)
    picture = out.with_suffix(_picture_suffix(frames))
    tuned_path = out.with_name(f"{out.stem}{TUNED}") if config.tune.steps else None
    outputs = [path for path in (out, picture, tuned_path) if path]
    _check_outputs(outputs, source, frames.fps, FORCE.value)
    generator, name = _load_generator(MODEL.value, GENERATOR.value)
    encoder = encoders.load(ENCODER.value, generator) if ENCODER.value else encoders.load_for(name)
    distance = load_distance(DISTANCE.value)
    pictures = read_pictures(frames, generator, name, ALIGNMENT.value, FACE_FINDER.value)
    one_piece = partial(invert, generator=generator, distance=distance, settings=config)
    how = {"method": METHOD.value, "encoder": encoder, "clip": pictures.is_clip}
    found = find_latents(pictures, invert_pieces(pictures, one_piece, config.images_per_piece, **how))
    report(found, config.warn_below_psnr, pictures.is_clip)
    tuned = tune(pictures, found.ws, generator, config, distance) if tuned_path else None
    about = {"name": name, "space": config.space, "source": source.name, "fps": pictures.fps}
    about["are_photos"] = not pictures.is_clip and len(pictures) > 1
    with files.atomic_set(outputs) as temporary:
        if tuned and tuned_path:
            sg2.save(tuned, temporary[2])
            about["tuned"] = tuned_path, tuned
        psnr = write_comparison(pictures, found.ws, tuned or generator, temporary[1])
        write_latents(temporary[0], found.ws, generator, **about)
    if tuned:
        print(f"tuned: PSNR {psnr.mean():.1f} dB, least {psnr.min():.1f} dB")
    print(f"Wrote {', '.join(map(str, outputs))}")


def read_pictures(
    frames: media.Frames, generator: sg2.Generator, name: str, align: str, face_finder: str = portraits.DLIB
) -> Pictures:
    """Open a photo, photos or a clip as images of the generator's size: of each picture the square that --align says.

    All are read once, so that what is wrong with one is told before any is inverted.

    Raises:
        ValueError: a file is damaged, there is no frame, there is no face where one is wanted, or the generator's
            images have neither 1, 3 nor 4 channels.
    """
    size, channels = generator.img_resolution, generator.img_channels
    wanted = alignment(align, has_domain=is_registered(name), resolution=size, channels=channels)
    find = None if wanted == "none" else portraits.load_finder(face_finder)
    photos = [frames]
    if frames.path.is_dir():
        photos = [media.read_photo(path) for path in media.find_photos(frames.path)]
    shown = {"wanted": wanted, "find": find, "fps": frames.fps or 1.0, "size": size, "channels": channels}
    pictures = Pictures([portraits.Framed(photo.path.name, photo, **shown) for photo in photos], frames.fps)
    for part in tqdm(pictures.parts, "reading", unit=" pictures", disable=None, leave=False):
        for remark in _remarks(part):
            warnings.warn(remark, stacklevel=2)
    portraits.tell_licence((part.placement for part in pictures.parts), face_finder)
    return pictures


def find_latents(pictures: Pictures, pieces: Iterable[Inversion]) -> Found:
    """The latents of all pieces, which this inverts one after the other."""
    found = []
    with tqdm(total=len(pictures), desc="inverted", unit=" images", disable=None, leave=False) as bar:
        for piece in pieces:
            found.append(Found(piece.ws, piece.psnr, piece.deviations))
            bar.update(len(piece.ws))
    return Found(*(np.concatenate(values) for values in zip(*found, strict=True)))


def report(found: Found, poor: float, is_clip: bool) -> None:
    """Print how near the images came, and warn of those that did not."""
    kind, n = "frame" if is_clip else "image", len(found.psnr)
    if n <= _LISTED:
        for number, (psnr, deviation) in enumerate(zip(found.psnr, found.deviations, strict=True)):
            print(f"{kind} {number}: PSNR {psnr:.1f} dB, {deviation:.2f} standard deviations from the mean latent")
    else:
        worst = int(np.argmin(found.psnr))
        print(
            f"{n} {kind}s: PSNR {found.psnr.mean():.1f} dB on average, least {found.psnr[worst]:.1f} dB ({kind} "
            f"{worst}); {found.deviations.mean():.2f} standard deviations from the mean latent, most "
            f"{found.deviations.max():.2f}"
        )
    if bad := np.flatnonzero(found.psnr < poor).tolist():
        which = f"{kind} {bad[0]} was" if len(bad) == 1 else f"{len(bad)} {kind}s, the first of them {bad[0]}, were"
        warnings.warn(
            f"{which} not inverted well (below {poor:g} dB): is it of what this generator draws, upright, and cut out "
            "as its training pictures were? --tune_steps makes it exact all the same",
            stacklevel=2,
        )
    if (most := float(found.deviations.max())) > FAR:
        warnings.warn(
            f"latents are up to {most:.1f} standard deviations from the mean: such faces do not bear to be changed",
            stacklevel=2,
        )


def write_comparison(
    pictures: Pictures, ws: Float[np.ndarray, "n l d"], generator: sg2.Generator, path: Path
) -> Float[np.ndarray, "n"]:
    """Write the input beside what the generator makes of the latents: a video of a clip, a picture of the first photos.

    Returns:
        the PSNR of what it makes of each, in dB.
    """
    size, space = max(_SIZE, generator.img_resolution), LatentSpace.of(generator.mapping)

    def side_by_side(images: Float[np.ndarray, "n h w c"], drawn: Float[np.ndarray, "n h w c"]) -> np.ndarray:
        columns = {"input": images, "inversion": drawn}
        return media.titled_columns({title: media.to_rgb(column) for title, column in columns.items()}, size)

    def redrawn() -> Iterator[tuple[Float[np.ndarray, "n h w c"], Inversion]]:
        start = 0
        for piece in batched(pictures, _SHOWN):
            yield (images := np.stack(piece)), measured(ws[start : start + len(piece)], images, generator, space)
            start += len(piece)

    psnr = []
    with media.open_video(path, pictures.fps) if pictures.fps else nullcontext() as video:
        for images, found in redrawn():
            if video:
                for row in range(len(images)):
                    video.write(side_by_side(images[row : row + 1], found.images[row : row + 1]))
            elif not psnr:
                media.save_image(side_by_side(images, found.images), path)
            psnr.append(found.psnr)
    return np.concatenate(psnr)


def _settings(config: ConfigDict, said: Mapping[str, str | int | None]) -> ConfigDict:
    """The config with what flags say, by dotted name; None: nothing. Raises ValueError if it is invalid."""
    settings = config.copy_and_resolve_references()
    settings.update_from_flattened_dict({name: value for name, value in said.items() if value is not None})
    config_rules.check(settings, RULES)
    config_rules.check_known(settings, config_rules.names(inversion.get_config()))
    return settings


def _picture_suffix(frames: media.Frames) -> str:
    if frames.fps is None:
        return ".png"
    return ".gif" if frames.path.suffix.lower() == ".gif" else ".mp4"


def _check_outputs(paths: list[Path], source: Path, fps: float | None, force: bool) -> None:
    """Raise ValueError or OSError if a file cannot be written, or is there already and is not to be written over.

    The picture, whose name follows from --out, may be one of those that are inverted: it is never written over.
    """
    latents, picture, *_ = paths
    media.check_output(latents, (".safetensors",))
    if fps is None:
        media.check_output(picture)
    else:
        media.check_clip(picture, fps)
    if picture.exists() and source.resolve() in (picture.resolve(), picture.resolve().parent):
        raise ValueError(f"{picture} is of what is inverted, and would be written over: give another --out")
    files.check_free(paths, force)


def _load_generator(model: str | None, generator: str | None) -> tuple[sg2.Generator, str]:
    """The generator and its name."""
    if (model is None) == (generator is None):
        raise ValueError("say which generator: either --model or --generator")
    if generator is not None:
        return load_generator(generator), generator
    loaded = Disentangler.load(str(model))
    return loaded.generator, loaded.config.generator


def _remarks(part: portraits.Framed) -> Iterator[str]:
    """What the user should know of the squares, a sentence each; what holds for many photos in the same words."""
    yield from (f"{part.name}: {remark}" for remark in part.placement.remarks)
    square, size = part.placement.squares[0], part.size
    width, height = round(2 * square.x), round(2 * square.y)  # of a picture of which the middle is shown
    if not part.placement.aligned and (width, height) != (size, size):
        cut = "" if height == width else "the middle of "
        yield f"{cut}{width} x {height} pixels is resized to the generator's {size} x {size}"


if __name__ == "__main__":
    command.run(main, FLAGS)
