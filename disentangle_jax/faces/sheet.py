"""Draw a contact sheet of the domain: python -m disentangle_jax.faces.sheet --out=faces.png

The upper rows are random faces. Each lower row varies two factors from -1 to 1 on a mean face.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Float

from disentangle_jax import media
from disentangle_jax.faces.factors import NAMES, sample, unstack
from disentangle_jax.faces.renderer import render
from stylegan2_flax import command
from stylegan2_flax.files import local_path
from stylegan2_flax.run.config_rules import MAX_SEED

FLAGS = flags.FlagValues()
OUT = flags.DEFINE_string("out", "faces.png", "image file to write", flag_values=FLAGS)
SEED = flags.DEFINE_integer(
    "seed", 0, "seed of the random faces", lower_bound=0, upper_bound=MAX_SEED, flag_values=FLAGS
)
RESOLUTION = flags.DEFINE_integer(
    "resolution", 64, "pixels of a face", lower_bound=32, upper_bound=256, flag_values=FLAGS
)

_COLUMNS, _ROWS = 12, 3


def main() -> None:
    out = local_path(OUT.value, "--out")
    media.check_output(out, media.IMAGE_SUFFIXES)
    media.save_image(contact_sheet(SEED.value, RESOLUTION.value), out)
    print(f"Wrote {out}: random faces, then {', '.join(NAMES)}, each from -1 to 1.")


def contact_sheet(seed: int, resolution: int) -> Float[np.ndarray, "height width 3"]:
    """The grid of random faces and of faces that vary in one factor."""
    steps = np.linspace(-1.0, 1.0, _COLUMNS // 2, dtype=np.float32)
    mean_face = np.zeros(len(NAMES), np.float32)
    mean_face[NAMES.index("hair_color")] = -0.4
    sweeps = np.tile(mean_face, (len(NAMES), len(steps), 1))
    for i in range(len(NAMES)):
        sweeps[i, :, i] = steps
    random_faces = sample(jax.random.key(seed), _COLUMNS * _ROWS).stack()
    faces = jnp.concatenate([random_faces, sweeps.reshape(-1, len(NAMES))])
    images = np.asarray(render(unstack(faces), resolution, supersampling=2))
    return media.image_grid(images.reshape(-1, _COLUMNS, *images.shape[1:]))


if __name__ == "__main__":
    command.run(main, FLAGS)
