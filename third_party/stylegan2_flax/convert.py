"""Convert a published checkpoint, for this package or back to PyTorch:

python -m stylegan2_flax.convert ffhq.pkl ffhq.safetensors --dtype=float16     this package's own format
python -m stylegan2_flax.convert ffhq.pkl ffhq.pt --drop_clamp                 for torch.load, in rosinality's layout
python -m stylegan2_flax.convert ffhq.pkl ffhq.npz --drop_clamp                the same for NumPy
python -m stylegan2_flax.convert ffhq.pkl d.safetensors --which=D --layout=rosinality --drop_clamp

rosinality's layout has no place for the clamp of stylegan2-ada's networks, which are refused without --drop_clamp.
IN is a path or URL of any format that stylegan2_flax.load reads. OUT ends in .safetensors, .pt or .npz.
"""

import math
from collections.abc import Sequence

import jax
from absl import flags
from flax import nnx

from stylegan2_flax import command
from stylegan2_flax.checkpoints import save, save_rosinality
from stylegan2_flax.checkpoints.load import NETWORKS, load_as
from stylegan2_flax.discriminator import Discriminator
from stylegan2_flax.files import check_folder, check_free, local_path
from stylegan2_flax.generator import Generator

_LAYOUTS = {".safetensors": ("stylegan2_flax", "rosinality"), ".pt": ("rosinality",), ".npz": ("rosinality",)}

FLAGS = flags.FlagValues()
WHICH = flags.DEFINE_enum(
    "which", None, NETWORKS, "the network to take (default: the first of these that there is)", flag_values=FLAGS
)
LAYOUT = flags.DEFINE_enum(
    "layout",
    None,
    _LAYOUTS[".safetensors"],
    "names and shapes (default: the first; .pt, .npz: the second)",
    flag_values=FLAGS,
)
DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ("float32", "float16"), "float16: half the size, rounded weights", flag_values=FLAGS
)
DROP_CLAMP = flags.DEFINE_bool(
    "drop_clamp", False, "leave out conv_clamp, which rosinality's layout has no place for", flag_values=FLAGS
)
FORCE = flags.DEFINE_bool("force", False, "write over what is there", flag_values=FLAGS)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `command.run` for how errors and Ctrl-C are told."""

    def read_flags(source: str, out: str) -> None:
        convert(source, out, WHICH.value, LAYOUT.value, DTYPE.value, DROP_CLAMP.value, FORCE.value)

    command.run(read_flags, FLAGS, argv, positional=("IN", "OUT"))


def convert(
    source: str, target: str, which: str | None, layout: str | None, dtype: str, drop_clamp: bool, force: bool
) -> None:
    """Check the arguments, cheapest first, then read and write."""
    out = local_path(target, "OUT")
    layouts = _LAYOUTS.get(out.suffix)
    if layouts is None:
        raise ValueError(f"OUT must end in {' or '.join(_LAYOUTS)}, got {target}")
    layout = layout or layouts[0]
    if layout not in layouts:
        raise ValueError(f"a {out.suffix} file has the layout {layouts[0]}, not {layout}: end OUT in .safetensors")
    if layout == "rosinality" and dtype != "float32":
        raise ValueError("--dtype is for this package's own format: PyTorch takes float32")
    if out.is_dir():
        raise ValueError(f"{out} is a folder: give the name of a file")
    check_folder(out.parent, out)
    check_free([out], force, "OUT")
    kind, network = load_as(source, which)
    print(f"Read  {source} ({kind}): {_summary(network)}")
    if layout == "rosinality":
        save_rosinality(network, out, drop_clamp)
    else:
        save(network, out, dtype="float16" if dtype == "float16" else "float32")
    print(f"Wrote {out} ({layout}, {dtype}): {out.stat().st_size / 1e6:.1f} MB")


def _summary(network: Generator | Discriminator) -> str:
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
    labels = f", {network.c_dim} labels" if network.c_dim else ""
    return f"{network.kind}, {network.img_resolution} px{labels}, {parameters:,} parameters"


if __name__ == "__main__":
    main()
