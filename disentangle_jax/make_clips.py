"""Write clips for training: python -m disentangle_jax.make_clips --config=faces64 --out=data --num_clips=100000

Run the same command again to go on where a stopped one was. To train on what it wrote:
python -m disentangle_jax.train --config=faces64 --config.data.source=stored --config.data.directory=data --workdir=...
"""

import shlex

from absl import flags

from disentangle_jax import configs
from disentangle_jax.clips import build_clip_source
from disentangle_jax.clips.shards import folder_of
from disentangle_jax.clips.tfds_writer import write_clips
from disentangle_jax.generators import load_generator
from disentangle_jax.training import rules
from disentangle_jax.training.state import random_streams
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag, parallel, processes
from stylegan2_flax.run.lock import locked

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs)
OUT = flags.DEFINE_string(
    "out",
    None,
    "folder for the TFDS data set synthetic_clips: made if it is new",
    required=True,
    flag_values=FLAGS,
)
NUM_CLIPS = flags.DEFINE_integer(
    "num_clips", None, "how many clips to write", lower_bound=1, required=True, flag_values=FLAGS
)
DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float16", "float32"], "of stored latents; float32 keeps every bit", flag_values=FLAGS
)
FRAMES = flags.DEFINE_bool("frames", False, "store the rendered frames too, as PNG", flag_values=FLAGS)
join = processes.define(FLAGS)


def main() -> None:
    out = files.local_path(OUT.value, "--out")
    join()
    config = CONFIG.value
    rules.check(config)
    generator = load_generator(config.generator)
    with locked(out):
        with parallel.first_process_first("directions"):
            source = build_clip_source(config, generator, folder_of(out))
        synthesis = generator.synthesis if FRAMES.value else None
        key = random_streams(config.seed).clips
        folder = write_clips(config, source, key, out, NUM_CLIPS.value, DTYPE.value, synthesis)
    print(f"{NUM_CLIPS.value} clips lie in {folder}. Train on them with --config.data.source=stored", end=" ")
    print(f"--config.data.directory={shlex.quote(str(out))}")


if __name__ == "__main__":
    command.run(main, FLAGS)
