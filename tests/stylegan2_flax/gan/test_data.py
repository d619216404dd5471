"""Real images: where they come from, in what order, and how they are cut."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image

from stylegan2_flax.gan import data
from stylegan2_flax.gan.data import RenderedImages
from stylegan2_flax.gan.folder import Folder
from stylegan2_flax.run import parallel

KEY = jax.random.key(3)


@pytest.fixture
def sharding(mesh_of):
    return parallel.over_batch(mesh_of(8))


@pytest.fixture
def folder(tmp_path):
    """Twelve grey pictures, brighter by ten from one to the next, of several sizes and kinds."""
    (tmp_path / "more").mkdir()
    for i in range(12):
        name = f"{i:02d}.png" if i % 2 else f"more/{i:02d}.PNG"
        picture = Image.new("RGB", (8 + i, 9), (10 * i, 10 * i, 10 * i))
        picture.convert(("RGB", "L", "RGBA")[i % 3]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def open_batches(config, source, sharding, batch_size=8, channels=3, mirror=False):
    config.data.update(source=str(source), mirror=mirror)
    return data.open_images(config.data, 4, channels).batches(batch_size, KEY, sharding)


def greys(batch):
    return np.rint((np.asarray(batch)[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()


def test_a_folder_is_seen_once_an_epoch_in_an_order_that_changes(config, folder, sharding):
    batches = open_batches(config, folder, sharding)
    seen = [grey for index in range(3) for grey in greys(batches(index))]
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(0, 120, 10))
    assert seen[:12] != seen[12:]
    batch = batches(3)
    assert batch.shape == (8, 4, 4, 3)
    assert batch.sharding == sharding
    assert float(jnp.ptp(batch[0])) == 0


def test_a_batch_is_a_function_of_its_number(config, folder, sharding):
    batches = open_batches(config, folder, sharding)
    later = [greys(batches(index)) for index in range(5)][4]
    assert greys(open_batches(config, folder, sharding)(4)) == later
    config.data.update(workers=1, prefetch=0)
    assert greys(open_batches(config, folder, sharding)(4)) == later


def test_pictures_are_cut_to_their_middle(tmp_path):
    """A wide picture whose outer thirds are black, and a tall one that its EXIF data turns."""
    pixels = np.zeros((6, 18, 3), np.uint8)
    pixels[:, 6:12] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    turned = Image.fromarray(np.repeat(np.arange(0, 240, 40, dtype=np.uint8)[:, None], 6, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned.save(tmp_path / "turned.png", exif=exif)
    colour, grey = (Folder(tmp_path, 6, channels, "white", "refuse", 1) for channels in (3, 1))
    assert colour[1].shape == (6, 6, 3)
    assert (colour[1] == 200).all()
    assert grey[0].shape == (6, 6, 1)
    assert grey[0][0, :, 0].tolist() == list(range(200, -40, -40))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_any_kind_are_read_as_they_are_meant_to_be_seen(config, tmp_path, sharding, channels):
    """A transparent picture over red, one with 16 bits: both 200 grey on the stated background."""
    Image.new("RGBA", (6, 6), (255, 0, 0, 0)).save(tmp_path / "a.png")
    Image.fromarray(np.full((6, 6), 200 * 257, np.uint16)).save(tmp_path / "b.png")
    config.data.background = "#c8c8c8"
    batch = np.rint((np.asarray(open_batches(config, tmp_path, sharding, channels=channels)(0)) + 1) * 127.5)
    if channels == 4:
        assert {tuple(pixel) for pixel in batch[:, 0, 0]} == {(0, 0, 0, 0), (200, 200, 200, 255)}
    else:
        assert np.all(batch == 200)


@pytest.mark.parametrize("source", ["", "nowhere", "tfds", "folder:x"])
def test_an_unknown_source_is_refused(config, source, sharding):
    with pytest.raises(ValueError, match=r"unknown data.source.*no folder, nor tfds:NAME.*tiny_images"):
        open_batches(config, source, sharding)


def test_drawn_images_are_new_each_time_and_the_same_on_any_device(config, sharding):
    batches = open_batches(config, "tiny_images", sharding)
    one = open_batches(config, "tiny_images", NamedSharding(sharding.mesh, PartitionSpec()))
    first, second = batches(0), batches(1)
    np.testing.assert_array_equal(first, one(0))
    assert len(first.sharding.device_set) == 8
    assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match=r"draws images of shape \(4, 4, 3\), the networks need \(4, 4, 1\)"):
        open_batches(config, "tiny_images", sharding, channels=1)


def test_mirror_flips_half_of_the_images(config, tmp_path, sharding):
    ramp = np.tile(np.array([0, 80, 160, 240], np.uint8), (4, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    batches = open_batches(config, tmp_path, sharding, batch_size=64, mirror=True)
    flipped = np.array([np.asarray(batches(index))[:, 0, 0, 0] > 0 for index in range(2)])
    assert 0.35 < flipped.mean() < 0.65
    assert (flipped[0] != flipped[1]).any()
    rows = (np.asarray(batches(0))[:, 0, :, 0] + 1) * 127.5
    np.testing.assert_allclose(
        np.where(flipped[0][:, None], rows[:, ::-1], rows), np.tile(ramp[:1], (64, 1)), atol=1e-4
    )


def test_flips_share_no_bits_with_images_that_are_rendered(sharding):
    """Left halves that are bright or not, by the second of the keys that the source splits its own into."""

    def draw(key, n):
        left = jax.random.bernoulli(jax.random.split(key)[1], shape=(n, 1, 1, 1))
        half = jnp.zeros((n, 4, 4, 1)).at[:, :, :2].set(1.0)
        return jnp.where(left, half, jnp.zeros_like(half))

    images = RenderedImages(draw, (4, 4, 1), mirror=True).batches(512, jax.random.key(0), sharding)(0)
    bright = np.asarray(images)[np.asarray(images).any(axis=(1, 2, 3))]
    assert 0.35 < (bright[:, 0, 0, 0] == 1).mean() < 0.65


BUILDER = """
import io
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

class Builder(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(6, 6, 1))}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(5), "test": self._generate_examples(2)}

    def _generate_examples(self, n):
        for i in range(n):
            buffer = io.BytesIO()
            Image.new("L", (6, 6), 20 * i).save(buffer, format="PNG")
            buffer.seek(0)
            yield i, {"image": buffer}
"""


def test_tfds(config, tmp_path, sharding, monkeypatch):
    """A dataset of grey images of another size, in ArrayRecord files."""
    package = tmp_path / "greys"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "greys_dataset_builder.py").write_text(BUILDER)
    monkeypatch.syspath_prepend(tmp_path)
    builder = importlib.import_module("greys.greys_dataset_builder").Builder
    builder(data_dir=tmp_path / "data", file_format="array_record").download_and_prepare()
    config.data.directory = str(tmp_path / "data")
    assert sorted(greys(open_batches(config, "tfds:greys", sharding)(0))[:5]) == [0, 20, 40, 60, 80]
    few = open_batches(config, "tfds:greys:train[:2]", sharding)(0)
    assert len(set(greys(few))) == 2
    test = open_batches(config, "tfds:greys:1.0.0:test", sharding, channels=1)(0)
    assert sorted(greys(test)) == [0, 0, 0, 0, 20, 20, 20, 20]
    with pytest.raises(ValueError, match="TFDS cannot open 'greys', split 'valid'"):
        open_batches(config, "tfds:greys:valid", sharding)
    with pytest.raises(ValueError, match="TFDS cannot open 'no_such_dataset'") as caught:
        open_batches(config, "tfds:no_such_dataset", sharding)
    assert "\n" not in str(caught.value)
    assert "Dataset no_such_dataset not found" in str(caught.value)
    assert "tensorflow.org/datasets/catalog" in str(caught.value)
