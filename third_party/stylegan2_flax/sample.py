"""Draw pictures with a generator:

python -m stylegan2_flax.sample ffhq.pkl --seeds=0-15 --psi=0.7 --out=grid.png     a grid
python -m stylegan2_flax.sample ffhq.pkl --seeds=0-99 --out=pictures               a folder, a file for each seed
python -m stylegan2_flax.sample ffhq.pkl --mix=0-3:10-14:0-6 --out=mix.png         a table of mixed styles
python -m stylegan2_flax.sample ffhq.pkl --seeds=0-5 --frames=60 --out=loop.mp4    a video from seed to seed

The checkpoint is a path or URL of any format that stylegan2_flax.load reads. A seed gives the same picture wherever it
is drawn, but not the one that NVIDIA's programs draw for it: --numpy_seeds does as those do.
"""

import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from stylegan2_flax import command, media
from stylegan2_flax.checkpoints import load
from stylegan2_flax.files import check_folder, check_free, local_path
from stylegan2_flax.generator import Generator
from stylegan2_flax.sampling import Sampler, loop_slerp, loop_spline
from stylegan2_flax.synthesis import NOISE_MODES

_MAX_SEED = 2**32 - 1  # numpy's
_MAX_COUNT = 100_000
_PART = 1024  # seeds whose latents are held at once
_ONLY_VIDEOS = ("video", "frames", "fps")


FLAGS = flags.FlagValues()
OUT = flags.DEFINE_string(
    "out", None, "a picture (.png, .jpg, .webp), a video (.gif, .mp4) or a folder", required=True, flag_values=FLAGS
)
SEEDS = flags.DEFINE_string("seeds", None, "numbers and ranges, such as 0-15 or 1,5,7-9", flag_values=FLAGS)
MIX = flags.DEFINE_string(
    "mix",
    None,
    "ROW_SEEDS:COLUMN_SEEDS:LAYERS instead of --seeds: each row's picture, with these layers of each column's",
    flag_values=FLAGS,
)
PSI = flags.DEFINE_float("psi", 1.0, "truncation: 1 the most varied, 0 the mean picture", flag_values=FLAGS)
CUTOFF = flags.DEFINE_integer(
    "truncation_cutoff", None, "truncate only that many layers, from the coarsest", flag_values=FLAGS
)
CLASS = flags.DEFINE_integer("class", None, "the class that a conditional generator draws", flag_values=FLAGS)
NOISE_MODE = flags.DEFINE_enum(
    "noise_mode", "const", NOISE_MODES, "stored noise, none, or the seed's own (random)", flag_values=FLAGS
)
NUMPY_SEEDS = flags.DEFINE_bool(
    "numpy_seeds", False, "seeds as in NVIDIA's programs: known pictures come back", flag_values=FLAGS
)
GRID = flags.DEFINE_string("grid", None, "shape of the grid, COLSxROWS (default: about square)", flag_values=FLAGS)
VIDEO = flags.DEFINE_enum(
    "video", None, ("spline", "slerp"), "smooth in w, or on the sphere in z (default: spline)", flag_values=FLAGS
)
FRAMES = flags.DEFINE_integer("frames", None, "frames from one seed to the next (default: 60)", flag_values=FLAGS)
FPS = flags.DEFINE_integer("fps", None, "frames a second (default: 30)", flag_values=FLAGS)
DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ("float32", "bfloat16", "float16"), "of the high resolutions", flag_values=FLAGS
)
BATCH = flags.DEFINE_integer(
    "batch", None, "pictures drawn at once (default: by their size); fewer need less memory", flag_values=FLAGS
)
FORCE = flags.DEFINE_bool("force", False, "write over what is there", flag_values=FLAGS)


class Options(NamedTuple):
    """The checkpoint, and what the flags of the same names say."""

    checkpoint: str
    seeds: str | None
    mix: str | None
    psi: float
    truncation_cutoff: int | None
    label: int | None
    noise_mode: str
    numpy_seeds: bool
    grid: str | None
    video: str | None
    frames: int | None
    fps: int | None
    dtype: str
    batch: int | None
    force: bool


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `command.run` for how errors and Ctrl-C are told."""

    def read_flags(checkpoint: str) -> None:
        picture = (SEEDS.value, MIX.value, PSI.value, CUTOFF.value, CLASS.value, NOISE_MODE.value, NUMPY_SEEDS.value)
        form = (GRID.value, VIDEO.value, FRAMES.value, FPS.value, DTYPE.value, BATCH.value, FORCE.value)
        out = local_path(OUT.value, "--out")
        sample(Options(checkpoint, *picture, *form), out)
        print(f"Wrote {out}")

    command.run(read_flags, FLAGS, argv, positional=("CHECKPOINT",))


def sample(options: Options, out: Path) -> None:
    """Check the options, cheapest first, then draw.

    Raises:
        ValueError: the options do not go together, or the checkpoint holds no generator.
        OSError: the checkpoint cannot be read, or `out` not be written.
    """
    is_folder = out.is_dir() or out.suffix == ""
    if is_folder:
        check_folder(out, out)
    else:
        media.check_output(out)
    is_video = not is_folder and out.suffix.lower() in media.VIDEO_SUFFIXES
    for name in _ONLY_VIDEOS:
        if getattr(options, name) is not None and not is_video:
            raise ValueError(f"--{name} is for videos: end --out in {' or '.join(media.VIDEO_SUFFIXES)}")
    if (options.mix is None) == (options.seeds is None):
        raise ValueError("give either --seeds or --mix")
    if options.grid is not None and (is_folder or is_video or options.mix is not None):
        raise ValueError(f"--grid is for pictures of --seeds: end --out in {' or '.join(media.IMAGE_SUFFIXES)}")
    if options.mix is not None:
        if is_folder or is_video:
            raise ValueError(f"--mix makes one picture: end --out in {' or '.join(media.IMAGE_SUFFIXES)}")
        _write_table(options, options.mix, out)
        return
    seeds = _seeds(options.seeds or "")
    if is_folder:
        _write_folder(options, seeds, out)
    elif is_video:
        _write_video(options, seeds, out)
    else:
        _write_grid(options, seeds, out)


def _write_grid(options: Options, seeds: list[int], out: Path) -> None:
    columns, rows = _grid_shape(options.grid, len(seeds))
    check_free([out], options.force)
    sampler = _sampler(options)
    pixels = np.stack(list(_draw_seeds(sampler, seeds)))
    blank = np.full((columns * rows - len(seeds), *pixels.shape[1:]), 255, np.uint8)
    cells = np.concatenate([pixels, blank]).reshape(rows, columns, *pixels.shape[1:])
    media.save_image(media.image_grid(cells), out)


def _write_folder(options: Options, seeds: list[int], out: Path) -> None:
    files = [out / f"seed{seed:04d}.png" for seed in seeds]
    check_free(files, options.force)
    sampler = _sampler(options)
    for image, file in zip(_draw_seeds(sampler, seeds), files, strict=True):
        media.save_image(image, file)


def _write_table(options: Options, mix: str, out: Path) -> None:
    parts = mix.split(":")
    if len(parts) != 3:
        raise ValueError(f"--mix={mix}: write ROW_SEEDS:COLUMN_SEEDS:LAYERS, such as 0-3:10-14:0-6")
    row_seeds, column_seeds = _seeds(parts[0]), _seeds(parts[1])
    layers = _numbers(parts[2], "the layers of --mix")
    check_free([out], options.force)
    sampler = _sampler(options)
    if max(layers) >= sampler.generator.num_ws:
        raise ValueError(f"this generator has the layers 0 to {sampler.generator.num_ws - 1}; --mix has {max(layers)}")
    rows, columns = len(row_seeds), len(column_seeds)
    heads = sampler.ws(sampler.z(row_seeds + column_seeds))
    mixed = np.repeat(heads[:rows, None], columns, axis=1)
    mixed[:, :, layers] = heads[None, rows:, layers]
    ws = np.concatenate([heads, mixed.reshape(-1, *heads.shape[1:])])
    noise_seeds = row_seeds + column_seeds + [seed for seed in row_seeds for _ in column_seeds]
    pixels = np.stack(list(_with_progress(sampler.images(ws, noise_seeds), len(ws))))
    left, top, cells = np.split(pixels, [rows, rows + columns])
    cells = cells.reshape(rows, columns, *pixels.shape[1:])
    media.save_image(media.image_grid(cells, row_headers=left, column_headers=top), out)


def _write_video(options: Options, seeds: list[int], out: Path) -> None:
    frames = 60 if options.frames is None else options.frames
    fps = 30 if options.fps is None else options.fps
    if len(seeds) < 2 or frames < 1 or fps < 1:
        raise ValueError("a video needs at least two seeds, and --frames and --fps of at least 1")
    check_free([out], options.force)
    sampler = _sampler(options)
    z = sampler.z(seeds)
    ws = sampler.ws(loop_slerp(z, frames)) if options.video == "slerp" else loop_spline(sampler.ws(z), frames)
    images = sampler.images(ws, seeds[:1] * len(ws))  # one noise for all frames, or it would flicker
    media.save_video(_with_progress(images, len(ws)), out, fps=fps)


def _sampler(options: Options) -> Sampler:
    network = load(options.checkpoint)
    if not isinstance(network, Generator):
        raise ValueError(f"{options.checkpoint} holds a discriminator; pictures need a generator")
    return Sampler(
        network,
        psi=options.psi,
        cutoff=options.truncation_cutoff,
        label=options.label,
        noise_mode=options.noise_mode,
        dtype=options.dtype,
        batch=options.batch,
        numpy_seeds=options.numpy_seeds,
    )


def _draw_seeds(sampler: Sampler, seeds: Sequence[int]) -> Iterator[np.ndarray]:
    """The pictures of seeds; few latents at a time, as those of many thousands would fill the memory."""
    parts = [seeds[start : start + _PART] for start in range(0, len(seeds), _PART)]
    images = (image for part in parts for image in sampler.images(sampler.ws(sampler.z(part)), part))
    return _with_progress(images, len(seeds))


def _with_progress(images: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The same images, counted on a terminal."""
    for done, image in enumerate(images, 1):
        if sys.stderr.isatty():
            print(f"\r{done} of {count} pictures", end="\n" if done == count else "", file=sys.stderr, flush=True)
        yield image


def _seeds(text: str) -> list[int]:
    seeds = _numbers(text, "seeds")
    if max(seeds) > _MAX_SEED:
        raise ValueError(f"seeds {text!r}: a seed is at most {_MAX_SEED}")
    return seeds


def _numbers(text: str, name: str) -> list[int]:
    """The numbers that "1,5,7-9" names."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch("([0-9]+)(?:-([0-9]+))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < _MAX_COUNT - len(numbers):
            raise ValueError(f"{name} {text!r}: write at most {_MAX_COUNT} numbers and ranges, such as 0-15 or 1,5,7-9")
        numbers += range(first, last + 1)
    return numbers


def _grid_shape(text: str | None, count: int) -> tuple[int, int]:
    """Columns and rows."""
    if text is None:
        columns = math.ceil(math.sqrt(count))
        return columns, math.ceil(count / columns)
    match = re.fullmatch("([0-9]+)x([0-9]+)", text)
    columns, rows = (int(match[1]), int(match[2])) if match else (0, 0)
    if not count <= columns * rows <= _MAX_COUNT:
        raise ValueError(f"--grid {text}: write COLSxROWS, with a place for each of the {count} seeds")
    return columns, rows


if __name__ == "__main__":
    main()
