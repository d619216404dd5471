r"""Settings of a transfer that have no flag of their own.

python -m disentangle_jax.transfer --model=runs/mine --source=photo.jpg --driving=video.mp4 --out=result.mp4 \
    --smooth --config.smooth.min_cutoff=0.5
"""

from ml_collections import ConfigDict

from disentangle_jax.configs import inversion


def get_config() -> ConfigDict:
    """The settings of `disentangle_jax.transfer`."""
    config = ConfigDict()
    config.fps = 12.0  # frames per second of clips that have no rate
    config.max_cells = 64  # results in one picture, at most

    # The One-Euro filter of --smooth; motion is in standard deviations of structure codes among faces.
    config.smooth = ConfigDict()
    config.smooth.min_cutoff = 1.0  # cutoff frequency at rest, in Hz; lower: smoother
    config.smooth.beta = 1.0  # Hz more for each standard deviation a second; higher: less lag

    # How pictures become latents; `invert` alone tunes generators to them.
    config.inversion = ConfigDict({name: value for name, value in inversion.get_config().items() if name != "tune"})
    return config
