"""Write clips for training: python -m disentangle_jax.make_clips --config=faces64 --out=data --num_clips=100000

Run the same command again to resume. To train on the clips:
python -m disentangle_jax.train --config=faces64 --workdir=runs/stored \\
    --config.data.source=stored --config.data.directory=data
"""

import shlex

from absl import flags
from ml_collections import ConfigDict

from disentangle_jax import configs
from disentangle_jax.clips import build_clip_source
from disentangle_jax.clips.clip_dataset import folder_of, is_begun
from disentangle_jax.clips.write_clips import write_clips
from disentangle_jax.generators import load_generator
from disentangle_jax.training import rules
from disentangle_jax.training.experiment import as_recorded
from disentangle_jax.training.random_streams import random_streams
from stylegan2_flax import command, files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import config_flag, parallel, processes
from stylegan2_flax.run.config_record import record_config, undo_on_error
from stylegan2_flax.run.lock import locked

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs)
OUT = flags.DEFINE_string(
    "out",
    None,
    "folder for the TFDS dataset synthetic_clips; created if it is missing",
    required=True,
    flag_values=FLAGS,
)
NUM_CLIPS = flags.DEFINE_integer("num_clips", None, "number of clips", lower_bound=1, required=True, flag_values=FLAGS)
DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float16", "float32"], "dtype of the stored latents; float16 rounds them", flag_values=FLAGS
)
FRAMES = flags.DEFINE_bool("frames", False, "store the rendered frames too, as PNG", flag_values=FLAGS)
join = processes.define(FLAGS)

_MADE_BY = ("seed", "generator", "generator_digest", "directions", "clips", "readout", "purify")
"""The sections of the config that clips follow from, and the directions and the readout that are found before them."""


def main() -> None:
    out = files.storage_path(OUT.value, "--out")
    join()
    folder = make_clips(CONFIG.value, out, NUM_CLIPS.value, DTYPE.value, FRAMES.value)
    print(
        f"Wrote {NUM_CLIPS.value} clips to {folder}. Train on them with --config.data.source=stored "
        f"--config.data.directory={shlex.quote(str(out))}"
    )


def make_clips(config: ConfigDict, out: AnyPath, num_clips: int, dtype: str, frames: bool) -> AnyPath:
    """Write a dataset of clips, or continue one, and return its folder.

    Args:
        config: the experiment.
        out: the TFDS data directory.
        num_clips: number of clips.
        dtype: dtype of the stored latents, "float16" or "float32".
        frames: whether to store rendered frames too.

    Raises:
        ValueError: the config is invalid, or the folder holds other clips.
        OSError: another process is writing into the folder.
    """
    rules.check(config)
    generator, folder = load_generator(config.generator), folder_of(out)
    with locked(out):
        with undo_on_error(folder), parallel.first_process_first("directions"):
            if not is_begun(out) or (folder / "config.json").exists():  # those of before had no record
                recorded = as_recorded(config, generator)
                made_by = ConfigDict({name: recorded[name] for name in _MADE_BY})
                record_config(made_by, folder, ("generator",), flag="--out")
            source = build_clip_source(config, generator, folder)
        source = parallel.as_in_first_process(source)
        synthesis = generator.synthesis if frames else None
        return write_clips(config, source, random_streams(config.seed).clips, out, num_clips, dtype, synthesis)


if __name__ == "__main__":
    command.run(main, FLAGS)
