"""Write clips for training: python -m disentangle_jax.make_clips --config=FILE --out=data --num_clips=100000

Run the same command again to go on where a stopped one was. To train on what it wrote:
python -m disentangle_jax.train --config=FILE --config.data.source=stored --config.data.directory=data --workdir=...
"""

import shlex

from absl import app, flags
from ml_collections import config_flags

from disentangle_jax import command, files, processes
from disentangle_jax.clips import build_clip_source
from disentangle_jax.clips.shards import folder_of
from disentangle_jax.clips.tfds_writer import write_clips
from disentangle_jax.generators import load_generator
from disentangle_jax.training.state import streams
from stylegan2_flax.run import devices as parallel

CONFIG = config_flags.DEFINE_config_file("config", help_string="the experiment: FILE.py or FILE.py:SWITCHES")
OUT = flags.DEFINE_string("out", None, "folder for the TFDS data set synthetic_clips: made if it is new")
NUM_CLIPS = flags.DEFINE_integer("num_clips", None, "how many clips to write", lower_bound=1)
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float16", "float32"], "of stored latents; float32 keeps every bit")
FRAMES = flags.DEFINE_bool("frames", False, "store the rendered frames too, as PNG")


def main() -> None:
    if CONFIG.value is None:
        raise app.UsageError("clips of which experiment? Say --config=experiments/configs/faces64.py")
    if OUT.value is None or NUM_CLIPS.value is None:
        raise app.UsageError("where to, and how many? Say --out=data --num_clips=100000")
    out = files.local_path(OUT.value, "--out")
    processes.join()
    config = CONFIG.value
    generator = load_generator(config.generator)
    with parallel.first_process_first("directions"):
        source = build_clip_source(config, generator, folder_of(out))
    synthesis = generator.synthesis if FRAMES.value else None
    key = streams(config.seed).clips
    folder = write_clips(config, source, key, out, NUM_CLIPS.value, DTYPE.value, synthesis)
    print(f"{NUM_CLIPS.value} clips lie in {folder}. Train on them with --config.data.source=stored", end=" ")
    print(f"--config.data.directory={shlex.quote(str(out))}")


if __name__ == "__main__":
    command.run(main)
