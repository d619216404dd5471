"""Your own images: a StyleGAN2 from scratch, or from one that was trained before, with adaptive augmentation.

    python -m stylegan2_flax.train --config=experiments/configs/gan_folder.py:256 --workdir=runs/mine \
        --config.data.source=FOLDER

    hardware   a GPU; the batch is sharded over the devices there are
    minutes    days at 256 px from scratch, hours from a trained one; not measured yet
    expect     not measured yet

After the colon: the resolution, then a preset of stylegan2_flax.gan.presets ("auto" unless said), then for how many
devices "auto" is (1 unless said), on which batch, R1 and the average depend: gan_folder.py:256,paper256 and
gan_folder.py:1024,auto,8. What the fields mean stands in gan_faces64.py. Useful ones:
    --config.data.source=tfds:oxford_flowers102:train      any TFDS dataset with images
    --config.data.mirror                                   where a mirrored image is as good as the image
    --config.init=ffhq.pkl --config.init_discriminator=ffhq.pkl --config.ema.rampup=0 --config.augment.kimg=100
                                                           from any file that stylegan2_flax.load reads; where it holds
                                                           no discriminator, --config.train.alone_kimg=100 in its place,
                                                           in which a new one learns alone
    --config.score.features=inception:PATH                 the FID, by your copy of Inception's weights
"""

from ml_collections import ConfigDict

from disentangle_jax.configs import gan_faces64
from stylegan2_flax.gan import presets


def get_config(arg: str = "256") -> ConfigDict:
    """The experiment of "RESOLUTION", "RESOLUTION,PRESET" or "RESOLUTION,PRESET,DEVICES"."""
    resolution, preset, devices, *rest = *arg.split(","), "", "", ""
    devices = devices or "1"
    if not resolution.isdigit() or not devices.isdigit() or int(devices) == 0 or any(rest):
        raise ValueError(
            f"say gan_folder.py:RESOLUTION, :RESOLUTION,PRESET or :RESOLUTION,PRESET,DEVICES, as in gan_folder.py:256; "
            f"got {arg!r}"
        )
    config = gan_faces64.get_config("scratch")
    config.resolution = int(resolution)
    config.data.source = "give a folder with --config.data.source=FOLDER"
    presets.apply(config, preset or "auto", int(devices))
    config.augment.mode = "ada"
    config.train.dtype = "bfloat16"
    config.train.update(log_kimg=4.0, checkpoint_kimg=200.0)
    config.snapshot.kimg = 200.0
    config.score.update(features="", kimg=200.0, num_samples=50_000, batch_size=80 if int(resolution) <= 256 else 16)
    return config
