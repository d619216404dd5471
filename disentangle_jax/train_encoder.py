"""Train an encoder: python -m disentangle_jax.train_encoder --config=encoder_faces64 --workdir=runs/encoder

Run the same command again to resume. Any field of the config can be set: --config.train.num_steps=1000
For a generator of your own: --config=encoder_faces64:no_domain --config.generator=my.safetensors

The encoder inverts a generator. It learns from the generator's own samples, which are pictures with their latents. The
results are WORKDIR/NAME.safetensors and its card NAME.json, which says how well held-out pictures are inverted.
"""

from absl import flags

from disentangle_jax import configs
from disentangle_jax.inversion import encoder_training
from stylegan2_flax import command
from stylegan2_flax.files import local_path
from stylegan2_flax.run import config_flag

FLAGS = flags.FlagValues()
CONFIG = config_flag.define(FLAGS, configs)
WORKDIR = config_flag.define_workdir(FLAGS)


def main() -> None:
    workdir, config = local_path(WORKDIR.value, "--workdir"), CONFIG.value
    encoder_training.run(config, workdir)
    print((workdir / f"{config.name}.json").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    command.run(main, FLAGS)
