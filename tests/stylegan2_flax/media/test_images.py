import numpy as np
import pytest
from PIL import Image

from stylegan2_flax import media

RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def test_bytes_are_written_as_they_are(tmp_path):
    floats = images(6, 5, 3)
    pixels = media.to_uint8(floats)
    assert media.to_uint8(pixels) is pixels
    media.save_image(pixels, tmp_path / "a.png")
    media.save_image(floats, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_is_read_as_it_was_written(tmp_path, channels):
    image = media.from_uint8(media.to_uint8(images(6, 5, channels)))
    media.save_image(image, tmp_path / "new" / "a.png")
    read = media.load_image(tmp_path / "new" / "a.png")
    assert np.array_equal(read, np.broadcast_to(image, (6, 5, 3)))


def test_a_failed_write_leaves_what_was_there(tmp_path):
    media.save_image(images(4, 4, 3), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(ValueError, match="NaN"):
        media.save_image(np.full((4, 4, 3), np.nan, np.float32), tmp_path / "a.png")
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        media.save_image(images(4, 4, 2), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_bad_files_are_told_apart(tmp_path):
    media.save_image(images(64, 64, 3), tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(FileNotFoundError, match="no image at"):
        media.load_image(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="damaged or cut short"):
        media.load_image(tmp_path / "cut.png")
    with pytest.raises(ValueError, match="not an image file"):
        media.load_image(tmp_path / "text.png")
    with pytest.raises(ValueError, match="must be one of"):
        media.save_image(images(4, 4, 3), tmp_path / "a.bmp")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_image_of_any_number_of_channels_is_written_as_it_is(tmp_path, channels):
    pixels = media.to_uint8(images(6, 5, channels))
    media.save_image(pixels, tmp_path / "a.png")
    assert media.png_bytes(pixels) == (tmp_path / "a.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert np.array_equal(np.asarray(picture).reshape(6, 5, channels), pixels)


def test_a_jpeg_has_its_transparent_parts_in_white(tmp_path):
    media.save_image(np.zeros((8, 8, 4), np.uint8), tmp_path / "a.jpg")
    assert np.all(media.load_image(tmp_path / "a.jpg") == 1)
