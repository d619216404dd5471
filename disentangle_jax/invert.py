"""Find the latents of your own photos or video:

    python -m disentangle_jax.invert --model=runs/mine --input=photo.png --out=latents.safetensors
    python -m disentangle_jax.invert --generator=ffhq.pkl --input=video.mp4 --out=latents.safetensors \\
        --encoder=e4e_ffhq_encode.pt --tune_steps=300

Writes --out, for `transfer` and others, and beside it the input next to what the generator makes of the latents: a
.png of photos, a .gif of a GIF, a .mp4 of other clips. With --tune_steps it writes a generator, too, which was tuned
to draw the input exactly and which transfer takes.

The input is a photo, a folder of photos, an animation, a video, or the frames of a clip as frames:FOLDER. Photographed
faces are aligned as FFHQ's are.
"""

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import Array, Float
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax import configs, media
from disentangle_jax.batching import batched
from disentangle_jax.configs import inversion
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.generators import load_generator
from disentangle_jax.inversion import METHODS, encoders, invert, portraits
from disentangle_jax.inversion.distances import load_distance
from disentangle_jax.inversion.latent_files import FAR, TUNED, write_latents
from disentangle_jax.inversion.methods import check_space
from disentangle_jax.inversion.opening import FPS, FRAMES, open_pictures, read_images
from disentangle_jax.inversion.optimisation import redraw
from disentangle_jax.inversion.pieces import Piece, invert_pieces, joined, piece_size, progress
from disentangle_jax.inversion.portraits import ALIGN
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
    "input", None, "photo, folder of photos, animation, video or frames:FOLDER", required=True, flag_values=FLAGS
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
_DRAWN = 16  # images that are drawn for the output at a time
_LISTED = 8  # images that are told of one by one, at most


def main() -> None:
    said = {"space": SPACE.value, "batch_size": BATCH_SIZE.value, "tune.steps": TUNE_STEPS.value}
    said |= {f"{phase}.steps": STEPS.value for phase in ("optimise", "refine")}
    config = _settings(CONFIG.value, said)
    encoders.check_is_used(ENCODER.value, METHOD.value)
    check_space(METHOD.value, config.space)
    out, source = files.local_path(OUT.value, "--out"), files.local_path(INPUT.value.removeprefix(FRAMES), "--input")
    opened = open_pictures(INPUT.value)
    is_clip = INPUT.value.startswith(FRAMES) or (not source.is_dir() and opened[0].fps is not None)
    rate = (opened[0].fps or FPS) if is_clip else None
    picture = out.with_suffix(_picture_suffix(source, is_clip=is_clip))
    tuned_path = out.with_name(f"{out.stem}{TUNED}") if config.tune.steps else None
    outputs = [path for path in (out, picture, tuned_path) if path]
    _check_outputs(outputs, source, rate, FORCE.value)
    generator, name = _load_generator(MODEL.value, GENERATOR.value)
    encoder = encoders.load(ENCODER.value, generator) if ENCODER.value else encoders.load_for(name)
    encoders.check_is_there(encoder, METHOD.value)
    distance = load_distance(DISTANCE.value)
    images = read_images(opened, generator, name, ALIGNMENT.value, FACE_FINDER.value, is_clip=is_clip)
    shown = list(images) if len(images) <= config.images_per_piece else images
    how = {"method": METHOD.value, "encoder": encoder, "distance": distance, "settings": config}
    pieces = invert_pieces(
        shown, partial(invert, generator=generator, **how), piece_size(config, generator.img_resolution), clip=is_clip
    )
    found = joined(progress(pieces, source.name, len(images)))
    report(found, images.names, config.warn_below_psnr, tunes=tuned_path is not None)
    tuned = tune(shown, found.ws, generator, config, distance) if tuned_path else None
    about = {"name": name, "space": config.space, "source": source.name, "fps": opened[0].fps if is_clip else None}
    about["are_photos"] = not is_clip and len(images) > 1
    with files.atomic_set([out, *([tuned_path] if tuned_path else [])]) as temporary:
        if tuned and tuned_path:
            sg2.save(tuned, temporary[1])
            about["tuned"] = tuned_path, tuned
        write_latents(temporary[0], found.ws, generator, **about)
    print(f"Wrote {out}")
    compared = shown if is_clip or tuned else list(itertools.islice(shown, _SHOWN))  # of many photos no more are shown
    psnr = write_comparison(
        compared, found.ws, tuned or generator, picture, rate, title="tuned" if tuned else "inversion"
    )
    if tuned:
        print(f"tuned: PSNR {psnr.mean():.1f} dB, least {psnr.min():.1f} dB")
    print(f"Wrote {', '.join(str(path) for path in outputs if path != out)}")


def report(found: Piece, names: Sequence[str], poor: float, *, tunes: bool) -> None:
    """Print how near the images came, and warn of those that did not."""
    assert found.psnr is not None
    assert found.deviations is not None
    far = float(np.max(found.deviations))
    if len(names) <= _LISTED:
        for name, psnr, deviation in zip(names, found.psnr, found.deviations, strict=True):
            print(f"{name}: PSNR {psnr:.1f} dB, {deviation:.2f} standard deviations from the mean latent")
    else:
        worst = int(np.argmin(found.psnr))
        print(
            f"{len(names)} images: PSNR {found.psnr.mean():.1f} dB on average, least {found.psnr[worst]:.1f} dB "
            f"({names[worst]}); {found.deviations.mean():.2f} standard deviations from the mean latent, most {far:.2f}"
        )
    if bad := np.flatnonzero(np.asarray(found.psnr) < poor).tolist():
        first = names[bad[0]]
        which = f"{first} was" if len(bad) == 1 else f"{len(bad)} images, the first of them {first}, were"
        hint = "" if tunes else " --tune_steps makes it exact all the same"
        warnings.warn(
            f"{which} not inverted well (below {poor:g} dB): is it of what this generator draws, upright, and cut out "
            f"as its training pictures were?{hint}",
            stacklevel=2,
        )
    if far > FAR:
        warnings.warn(
            f"latents are up to {far:.1f} standard deviations from the mean: such faces do not bear to be changed",
            stacklevel=2,
        )


def write_comparison(
    images: Iterable[Float[np.ndarray, "h w c"]],
    ws: Float[Array | np.ndarray, "n l d"],
    generator: sg2.Generator,
    path: Path,
    fps: float | None,
    title: str,
) -> Float[np.ndarray, "n"]:
    """Write images beside what the generator makes of their latents: a video of a clip, a picture of the first photos.

    Returns:
        the PSNR of what it makes of each, in dB.
    """
    size = max(_SIZE, generator.img_resolution)

    def beside(wanted: Iterable[np.ndarray], drawn: Iterable[np.ndarray]) -> Float[np.ndarray, "height width 3"]:
        columns = {"input": media.to_rgb(np.stack(list(wanted))), title: media.to_rgb(np.stack(list(drawn)))}
        return media.titled_columns(columns, size)

    psnr = []
    with media.open_video(path, fps) if fps else nullcontext() as video:
        read = batched(tqdm(images, path.name, unit=" images", disable=None, leave=False), _DRAWN)
        for wanted, latents in zip(read, batched(ws, _DRAWN), strict=False):  # of many photos the first ones alone
            drawn, scores = redraw(np.stack(latents), np.stack(wanted), generator)
            if video:
                for pair in zip(wanted, drawn, strict=True):
                    video.write(beside(*([image] for image in pair)))
            elif not psnr:
                media.save_image(beside(wanted[:_SHOWN], drawn[:_SHOWN]), path)
            psnr.append(scores)
    return np.concatenate(psnr)


def _settings(config: ConfigDict, said: Mapping[str, str | int | None]) -> ConfigDict:
    """The config with what flags say, by dotted name; None: nothing. Raises ValueError if it is invalid."""
    settings = config.copy_and_resolve_references()
    settings.update_from_flattened_dict({name: value for name, value in said.items() if value is not None})
    config_rules.check(settings, RULES)
    config_rules.check_known(settings, config_rules.names(inversion.get_config()))
    return settings


def _picture_suffix(source: Path, *, is_clip: bool) -> str:
    if not is_clip:
        return ".png"
    return ".gif" if source.suffix.lower() == ".gif" else ".mp4"


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


if __name__ == "__main__":
    command.run(main, FLAGS)
