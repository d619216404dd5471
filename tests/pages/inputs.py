"""Small real files of the names that pages use: networks, latents, pictures, and a config."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from flax import nnx
from PIL import Image

import stylegan2_flax as sg2
from disentangle_jax import faces, media

ROOT = Path(__file__).parents[2]
SIDE, WIDTH = 64, 16
NUM_WS = 10

GAN_CONFIG = """
from disentangle_jax.configs import gan_faces64

def get_config():
    config = gan_faces64.get_config("scratch")
    config.resolution = 8
    config.data.source = "FOLDER"
    config.generator.synthesis_kwargs.channel_max = config.discriminator.channel_max = 4
    config.score.features = ""
    return config
"""


def write(folder: Path, load: Callable[[Path], ModuleType], photo: np.ndarray, video: Sequence[np.ndarray]) -> None:
    """Write all of them.

    Args:
        folder: where.
        load: loads a file that is in no package.
        photo, video: of real people.
    """
    _write_networks(folder, load)
    _write_encoders(folder, load)
    rng = np.random.default_rng(0)
    for name, shape in {"face.npy": (NUM_WS, WIDTH), "clip.npy": (3, NUM_WS, WIDTH)}.items():
        np.save(folder / name, rng.normal(size=shape).astype(np.float32))
    for name in ("photo.jpg", "photo.png", "photos/one.jpg", "photos/two.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo).save(folder / name)
    media.save_video(video, folder / "video.mp4", fps=25)
    media.save_video([frame[:, ::-1] for frame in video], folder / "another.mp4", fps=25)
    media.save_video(video, folder / "folder", fps=25)
    media.save_video(video, folder / "a.gif", fps=25)
    drawn = np.asarray(jax.jit(faces.render)(faces.sample(jax.random.key(0), 16)))
    for name, image in zip(("a.png", "b.png", "face.png", *(f"FOLDER/{i}.png" for i in range(13))), drawn, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        media.save_image(image, folder / name)
    (folder / "CONFIG.py").write_text(GAN_CONFIG)


def _write_networks(folder: Path, load: Callable[[Path], ModuleType]) -> None:
    """A generator and a discriminator of photographs' shape, as NVIDIA's code pickles them; and one of this project."""
    sizes: dict[str, Any] = {"channel_base": 512, "channel_max": 16}

    @jax.jit
    def build(key):
        shape = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": sizes}
        generator = sg2.Generator(WIDTH, 0, WIDTH, SIDE, 3, **shape, rngs=nnx.Rngs(key))
        return generator, sg2.Discriminator(0, SIDE, 3, **sizes, rngs=nnx.Rngs(key))

    generator, discriminator = build(jax.random.key(0))
    writers, nvidia = (
        load(ROOT / f"tests/stylegan2_flax/checkpoints/{name}.py") for name in ("writers", "writers_nvidia")
    )
    data = nvidia.TorchWriter(writers).file({"G": generator, "D": discriminator, "G_ema": generator})
    for name in ("PATH", "ffhq.pkl"):
        (folder / name).write_bytes(data)
    sg2.save(generator, folder / "my.safetensors")


def _write_encoders(folder: Path, load: Callable[[Path], ModuleType]) -> None:
    """An encoder with its generator, of 8 px, and ArcFace, as torch.save writes them."""
    published = load(ROOT / "tests/inversion/published/conftest.py")
    writers = load(ROOT / "tests/stylegan2_flax/checkpoints/writers.py")
    arrays = published.Golden("e4e", "SingleStyleCodeEncoder/32").stand_ins()
    sizes = {"channel_base": 64, "channel_max": 8}
    generator = jax.jit(lambda key: sg2.Generator(512, 0, 512, 8, synthesis_kwargs=sizes, rngs=nnx.Rngs(key)))(
        jax.random.key(0)
    )
    decoder = sg2.to_rosinality(generator)
    average = decoder.pop("latent_avg")
    state = {f"encoder.{name}": array for name, array in arrays.items()}
    state |= {f"decoder.{name}": array for name, array in decoder.items()}
    options = {"encoder_type": "SingleStyleCodeEncoder", "stylegan_size": 8, "start_from_latent_avg": True}
    content = {"state_dict": state, "latent_avg": np.tile(average, (4, 1)), "opts": options}
    (folder / "e4e_ffhq_encode.pt").write_bytes(writers.torch_zip(content))
    arcface = published.Golden("e4e", "arcface_ir_se50_112").stand_ins()
    (folder / "model_ir_se50.pth").write_bytes(writers.torch_legacy(arcface))
