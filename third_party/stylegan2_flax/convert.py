"""Convert a published checkpoint, for this package or back to PyTorch:

python -m stylegan2_flax.convert ffhq.pkl ffhq.safetensors --dtype float16     this package's own format
python -m stylegan2_flax.convert ffhq.pkl ffhq.pt                              for torch.load, in rosinality's layout
python -m stylegan2_flax.convert ffhq.pkl ffhq.npz                             the same for NumPy
python -m stylegan2_flax.convert ffhq.pkl d.safetensors --which D --layout rosinality

IN is a path or URL of any format that stylegan2_flax.load reads. OUT ends in .safetensors, .pt or .npz.
"""

import argparse
import math
from collections.abc import Sequence

import jax
from flax import nnx

from stylegan2_flax import command
from stylegan2_flax.checkpoints import save, save_rosinality
from stylegan2_flax.checkpoints.load import NETWORKS, load_as
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.files import local_path
from stylegan2_flax.generator import Generator

_LAYOUTS = {".safetensors": ("stylegan2_flax", "rosinality"), ".pt": ("rosinality",), ".npz": ("rosinality",)}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `command.handled` for how errors and Ctrl-C are told."""
    arguments = _parser().parse_args(argv)
    with command.handled():
        _convert(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m stylegan2_flax.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", metavar="IN", help="path or URL of a checkpoint")
    add("out", metavar="OUT", help="a file that ends in .safetensors, .pt or .npz")
    add("--which", choices=NETWORKS, help="the network to take (default: the first of these that there is)")
    add(
        "--layout",
        choices=_LAYOUTS[".safetensors"],
        help="names and shapes (default: the first; .pt, .npz: the second)",
    )
    add("--dtype", choices=("float32", "float16"), default="float32", help="float16: half the size, rounded weights")
    add("--drop-clamp", action="store_true", help="leave out conv_clamp, which rosinality's layout has no place for")
    add("--force", action="store_true", help="write over what is there")
    return parser


def _convert(arguments: argparse.Namespace) -> None:
    """Check the arguments, cheapest first, then read and write."""
    out = local_path(arguments.out, "OUT")
    layouts = _LAYOUTS.get(out.suffix)
    if layouts is None:
        raise ValueError(f"OUT must end in {' or '.join(_LAYOUTS)}, got {arguments.out}")
    layout = arguments.layout or layouts[0]
    if layout not in layouts:
        raise ValueError(f"a {out.suffix} file has the layout {layouts[0]}, not {layout}: end OUT in .safetensors")
    if layout == "rosinality" and arguments.dtype != "float32":
        raise ValueError("--dtype is for this package's own format: PyTorch takes float32")
    if out.exists() and not arguments.force:
        raise ValueError(f"{out} exists already: give another OUT, or --force to write over it")
    kind, network = load_as(arguments.source, arguments.which)
    print(f"Read  {arguments.source} ({kind}): {_summary(network)}")
    if layout == "rosinality":
        save_rosinality(network, out, arguments.drop_clamp)
    else:
        save(network, out, dtype=arguments.dtype)
    print(f"Wrote {out} ({layout}, {arguments.dtype}): {out.stat().st_size / 1e6:.1f} MB")


def _summary(network: Generator | Discriminator) -> str:
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
    labels = f", {network.c_dim} labels" if network.c_dim else ""
    return f"{network.kind}, {network.img_resolution} px{labels}, {parameters:,} parameters"


if __name__ == "__main__":
    main()
