"""Draw pictures with a generator:

python -m stylegan2_flax.sample ffhq.pkl --seeds 0-15 --psi 0.7 --out grid.png     a grid
python -m stylegan2_flax.sample ffhq.pkl --seeds 0-99 --out pictures               a folder, a file for each seed
python -m stylegan2_flax.sample ffhq.pkl --mix 0-3 10-14 0-6 --out mix.png         a table of mixed styles
python -m stylegan2_flax.sample ffhq.pkl --seeds 0-5 --frames 60 --out loop.mp4    a video from seed to seed

The checkpoint is a path or URL of any format that stylegan2_flax.load reads. A seed gives the same picture wherever it
is drawn, but not the one that NVIDIA's programs draw for it: --numpy-seeds does as those do.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from stylegan2_flax import command, media
from stylegan2_flax.checkpoints import load
from stylegan2_flax.files import local_path
from stylegan2_flax.generator import Generator
from stylegan2_flax.sampling import Sampler, loop_slerp, loop_spline
from stylegan2_flax.synthesis import NOISE_MODES

_MAX_SEED = 2**32 - 1  # numpy's
_MAX_COUNT = 100_000
_PART = 1024  # seeds whose latents are held at once
_ONLY_VIDEOS = ("video", "frames", "fps")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `command.handled` for how errors and Ctrl-C are told."""
    arguments = _parser().parse_args(argv)
    with command.handled():
        out = local_path(arguments.out, "--out")
        _sample(arguments, out)
        print(f"Wrote {out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m stylegan2_flax.sample", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("checkpoint", help="path or URL of a generator")
    add("--out", required=True, help="a picture (.png, .jpg, .webp), a video (.gif, .mp4) or a folder")
    add("--seeds", help="numbers and ranges, such as 0-15 or 1,5,7-9")
    mix = ("ROW_SEEDS", "COLUMN_SEEDS", "LAYERS")
    add(
        "--mix", nargs=3, metavar=mix, help="instead of --seeds: each row's picture, with these layers of each column's"
    )
    add("--psi", type=float, default=1.0, help="truncation: 1 the most varied, 0 the mean picture (default: 1)")
    add("--truncation-cutoff", type=int, metavar="LAYERS", help="truncate only that many layers, from the coarsest")
    add("--class", type=int, dest="label", metavar="N", help="the class that a conditional generator draws")
    add("--noise-mode", choices=NOISE_MODES, default="const", help="stored noise, none, or the seed's own (random)")
    add("--numpy-seeds", action="store_true", help="seeds as in NVIDIA's programs: known pictures come back")
    add("--grid", metavar="COLSxROWS", help="shape of the grid (default: about square)")
    add("--video", choices=("spline", "slerp"), help="smooth in w, or on the sphere in z (default: spline)")
    add("--frames", type=int, help="frames from one seed to the next (default: 60)")
    add("--fps", type=int, help="frames a second (default: 30)")
    add("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the high resolutions")
    add("--batch", type=int, help="pictures drawn at once (default: by their size); fewer need less memory")
    add("--force", action="store_true", help="write over what is there")
    return parser


def _sample(arguments: argparse.Namespace, out: Path) -> None:
    """Check the arguments, cheapest first, then draw."""
    is_folder = out.is_dir() or out.suffix == ""
    if not is_folder:
        media.check_output(out)
    is_video = not is_folder and out.suffix.lower() in media.VIDEO_SUFFIXES
    for option in _ONLY_VIDEOS:
        if getattr(arguments, option) is not None and not is_video:
            raise ValueError(f"--{option} is for videos: end --out in {' or '.join(media.VIDEO_SUFFIXES)}")
    if (arguments.mix is None) == (arguments.seeds is None):
        raise ValueError("give either --seeds or --mix")
    if arguments.grid is not None and (is_folder or is_video or arguments.mix is not None):
        raise ValueError(f"--grid is for pictures of --seeds: end --out in {' or '.join(media.IMAGE_SUFFIXES)}")
    if arguments.mix is not None:
        if is_folder or is_video:
            raise ValueError(f"--mix makes one picture: end --out in {' or '.join(media.IMAGE_SUFFIXES)}")
        _write_table(arguments, out)
    elif is_folder:
        _write_folder(arguments, out)
    elif is_video:
        _write_video(arguments, out)
    else:
        _write_grid(arguments, out)


def _write_grid(arguments: argparse.Namespace, out: Path) -> None:
    seeds = _seeds(arguments.seeds)
    columns, rows = _grid_shape(arguments.grid, len(seeds))
    _refuse_existing(arguments, [out])
    sampler = _sampler(arguments)
    pixels = np.stack(list(_draw_seeds(sampler, seeds)))
    blank = np.full((columns * rows - len(seeds), *pixels.shape[1:]), 255, np.uint8)
    cells = np.concatenate([pixels, blank]).reshape(rows, columns, *pixels.shape[1:])
    media.save_image(media.image_grid(cells), out)


def _write_folder(arguments: argparse.Namespace, out: Path) -> None:
    seeds = _seeds(arguments.seeds)
    files = [out / f"seed{seed:04d}.png" for seed in seeds]
    _refuse_existing(arguments, files)
    sampler = _sampler(arguments)
    for image, file in zip(_draw_seeds(sampler, seeds), files, strict=True):
        media.save_image(image, file)


def _write_table(arguments: argparse.Namespace, out: Path) -> None:
    row_seeds, column_seeds = (_seeds(text) for text in arguments.mix[:2])
    layers = _numbers(arguments.mix[2], "the layers of --mix")
    _refuse_existing(arguments, [out])
    sampler = _sampler(arguments)
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


def _write_video(arguments: argparse.Namespace, out: Path) -> None:
    seeds = _seeds(arguments.seeds)
    frames = 60 if arguments.frames is None else arguments.frames
    fps = 30 if arguments.fps is None else arguments.fps
    if len(seeds) < 2 or frames < 1 or fps < 1:
        raise ValueError("a video needs at least two seeds, and --frames and --fps of at least 1")
    _refuse_existing(arguments, [out])
    sampler = _sampler(arguments)
    z = sampler.z(seeds)
    ws = sampler.ws(loop_slerp(z, frames)) if arguments.video == "slerp" else loop_spline(sampler.ws(z), frames)
    images = sampler.images(ws, seeds[:1] * len(ws))  # one noise for all frames, or it would flicker
    media.save_video(_with_progress(images, len(ws)), out, fps=fps)


def _sampler(arguments: argparse.Namespace) -> Sampler:
    network = load(arguments.checkpoint)
    if not isinstance(network, Generator):
        raise ValueError(f"{arguments.checkpoint} holds a discriminator; pictures need a generator")
    return Sampler(
        network,
        psi=arguments.psi,
        cutoff=arguments.truncation_cutoff,
        label=arguments.label,
        noise_mode=arguments.noise_mode,
        dtype=arguments.dtype,
        batch=arguments.batch,
        numpy_seeds=arguments.numpy_seeds,
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


def _refuse_existing(arguments: argparse.Namespace, files: Iterable[Path]) -> None:
    there = [file for file in files if file.exists()]
    if there and not arguments.force:
        raise ValueError(f"{there[0]} exists already: give another --out, or --force to write over it")


if __name__ == "__main__":
    main()
