"""A contact sheet of the domain: `python -m disentangle_jax.faces.sheet --out=faces.png`.

Above, random faces; below, one row for every two factors, each swept from -1 to 1 on a mean face.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from disentangle_jax import media
from disentangle_jax.faces.factors import NAMES, sample, unstack
from disentangle_jax.faces.renderer import render
from stylegan2_flax import command
from stylegan2_flax.files import local_path

_FLAGS = flags.FlagValues()
_OUT = flags.DEFINE_string("out", "faces.png", "the picture to write", flag_values=_FLAGS)
_SEED = flags.DEFINE_integer("seed", 0, "of the random faces", flag_values=_FLAGS)
_RESOLUTION = flags.DEFINE_integer(
    "resolution", 64, "pixels of a face", lower_bound=32, upper_bound=256, flag_values=_FLAGS
)

_COLUMNS, _ROWS = 12, 3


def main() -> None:
    steps = np.linspace(-1.0, 1.0, _COLUMNS // 2, dtype=np.float32)
    mean_face = np.zeros(len(NAMES), np.float32)
    mean_face[NAMES.index("hair_color")] = -0.4
    sweeps = np.tile(mean_face, (len(NAMES), len(steps), 1))
    for i in range(len(NAMES)):
        sweeps[i, :, i] = steps
    shown = jnp.concatenate(
        [sample(jax.random.key(_SEED.value), _COLUMNS * _ROWS).stack(), sweeps.reshape(-1, len(NAMES))]
    )
    images = np.asarray(render(unstack(shown), _RESOLUTION.value, supersampling=2))
    media.save_image(media.image_grid(images.reshape(-1, _COLUMNS, *images.shape[1:])), local_path(_OUT.value, "--out"))
    print(f"Wrote {_OUT.value}: random faces, then {', '.join(NAMES)}, each from -1 to 1.")


if __name__ == "__main__":
    command.run(main, _FLAGS)
