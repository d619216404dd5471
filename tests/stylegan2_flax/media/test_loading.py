"""Every kind of image file that people have, read as it is meant to be seen."""

import struct
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image

from stylegan2_flax import media
from stylegan2_flax.media.images import problem_of

COLOUR = np.zeros((5, 7, 3), np.uint8)
COLOUR[:2], COLOUR[2:, :3], COLOUR[2:, 3:] = (200, 60, 20), (0, 120, 240), (255, 255, 255)
GREY = np.array([[0, 50, 100, 150], [255, 200, 20, 1]], np.uint8)
CLEAR = np.zeros((5, 7), np.uint8)
CLEAR[:, 3:] = 255  # the left part is transparent


def read(path, channels=3, background="white"):
    return media.to_uint8(media.load_image(path, channels, background))


def on(background, pixels=COLOUR):
    return np.where(CLEAR[..., None] == 255, pixels, np.array(background, np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".gif"])
def test_colours_are_those_of_the_file(tmp_path, suffix):
    Image.fromarray(COLOUR).save(path := tmp_path / f"a{suffix}", lossless=True)
    assert np.array_equal(read(path), COLOUR)
    opaque = read(path, 4)
    assert np.array_equal(opaque[..., :3], COLOUR)
    assert np.all(opaque[..., 3] == 255)


def test_grey_is_grey_in_any_number_of_channels(tmp_path):
    Image.fromarray(GREY).save(path := tmp_path / "a.png")
    assert np.array_equal(read(path), np.repeat(GREY[..., None], 3, -1))
    assert np.array_equal(read(path, 1), GREY[..., None])
    assert np.array_equal(read(path, 4)[..., 1], GREY)


def test_black_and_white(tmp_path):
    Image.fromarray(GREY > 90).save(path := tmp_path / "a.png")
    with Image.open(path) as picture:
        assert picture.mode == "1"
    assert np.array_equal(read(path, 1)[..., 0], np.where(GREY > 90, 255, 0))


def test_transparent_parts_show_the_background_and_not_what_is_under_them(tmp_path):
    rgba = np.concatenate([COLOUR, CLEAR[..., None]], axis=-1)
    Image.fromarray(rgba).save(path := tmp_path / "a.png")
    assert np.array_equal(read(path), on((255, 255, 255)))
    assert np.array_equal(read(path, background="#102030"), on((16, 32, 48)))
    assert np.array_equal(read(path, 4), rgba)
    rgba[..., 3] = 128
    Image.fromarray(rgba).save(path)
    np.testing.assert_allclose(read(path, background="black"), COLOUR * (128 / 255), atol=1)


def test_transparent_grey_shows_the_background(tmp_path):
    grey = COLOUR[..., :1]
    Image.fromarray(np.concatenate([grey, CLEAR[..., None]], axis=-1)).save(path := tmp_path / "a.png")
    with Image.open(path) as picture:
        assert picture.mode == "LA"
    assert np.array_equal(read(path, 1), on((255,), grey))
    assert np.array_equal(read(path, 3, "black"), on((0, 0, 0), np.repeat(grey, 3, -1)))


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_a_palette_with_a_transparent_colour_shows_the_background(tmp_path, suffix):
    picture = Image.fromarray(COLOUR).quantize(8)
    index = picture.getpixel((0, 0))
    picture.save(path := tmp_path / f"a{suffix}", transparency=index)
    with Image.open(path) as stored:
        assert stored.mode == "P"
    assert np.array_equal(read(path)[:2], np.full((2, 7, 3), 255))
    assert np.array_equal(read(path, background="black")[:2], np.zeros((2, 7, 3)))
    assert np.array_equal(read(path)[2:], COLOUR[2:])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_one_colour_that_means_transparent_shows_the_background(tmp_path, mode):
    picture = Image.fromarray(COLOUR).convert(mode)
    picture.save(path := tmp_path / "a.png", transparency=picture.getpixel((0, 0)))
    assert np.all(read(path, background="black")[:2] == 0)
    assert np.array_equal(read(path)[2:], np.asarray(picture.convert("RGB"))[2:])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    values = GREY.astype(np.uint16) * 257
    Image.fromarray(values).save(path := tmp_path / f"a{suffix}")
    assert np.array_equal(read(path, 1)[..., 0], GREY)
    assert np.array_equal(read(path)[..., 2], GREY)


def test_sixteen_bits_with_a_transparent_value(tmp_path):
    values = GREY.astype(np.uint16) * 257
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 4, 2, 16, 0, 0, 0, 0)), (b"tRNS", struct.pack(">H", 100 * 257))]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    write_png(path := tmp_path / "a.png", [*chunks, (b"IDAT", zlib.compress(rows))])
    expected = GREY.copy()
    expected[0, 2] = 7
    assert np.array_equal(read(path, 1, "#070707")[..., 0], expected)


def test_sixteen_bits_of_the_netpbm_formats(tmp_path):
    values = GREY.astype(np.uint16) * 257
    (path := tmp_path / "a.pgm").write_bytes(b"P5 4 2 65535\n" + values.astype(">u2").tobytes())
    assert np.array_equal(read(path, 1)[..., 0], GREY)


@pytest.mark.parametrize(("dtype", "words"), [(np.float32, "floating-point"), (np.int32, "integers of 32 bits")])
def test_numbers_of_unknown_range_are_refused_by_name(tmp_path, dtype, words):
    Image.fromarray(GREY.astype(dtype) * 1000).save(path := tmp_path / "a.tif")
    with pytest.raises(ValueError, match=rf"a\.tif cannot be read as a picture: its pixels are {words}"):
        media.load_image(path)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_jpegs_and_tiffs_of_other_colour_spaces(tmp_path, mode):
    picture = Image.fromarray(np.repeat(np.repeat(COLOUR, 8, 0), 8, 1)).convert(mode)
    # Before version 13 Pillow could not read its own TIFF files of YCbCr.
    can_tiff = mode == "CMYK" or int(PIL.__version__.split(".")[0]) >= 13
    for suffix in (".jpg", ".tif") if can_tiff else (".jpg",):
        picture.save(path := tmp_path / f"a{suffix}", quality=95)
        np.testing.assert_allclose(read(path)[4::8, 4::8].astype(int), COLOUR.astype(int), atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_data_say(tmp_path, orientation):
    """The stored pixels are the upright picture with the inverse of what the number says done to it (EXIF 2.32)."""
    upright = COLOUR
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path := tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(path), upright)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.fromarray(np.full((4, 6, 3), shade, np.uint8)) for shade in (10, 200)]
    frames[0].save(path := tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(read(path), np.full((4, 6, 3), 10))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (17, 31)])
def test_odd_sizes(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    Image.fromarray(pixels).save(path := tmp_path / "a.png")
    assert np.array_equal(read(path), pixels)


def test_files_that_cannot_be_read_are_named(tmp_path):
    Image.fromarray(COLOUR).resize((64, 64)).save(whole := tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:400])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    write_png(tmp_path / "huge.png", [(b"IHDR", struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0))])
    reasons = {"cut.jpg": "damaged or cut short", "text.png": "not an image", "empty.png": "not an image"}
    reasons["huge.png"] = r"too large: Image size \(200000000 pixels\) exceeds limit of \d+ pixels$"
    for name, reason in reasons.items():
        with pytest.raises(media.UnreadableImageError, match=rf"{name} is {reason}"):
            media.load_image(tmp_path / name)
    assert problem_of(whole) is None
    assert problem_of(tmp_path / "text.png") == problem_of(tmp_path / "empty.png") == "not an image file"
    assert "too large" in (problem_of(tmp_path / "huge.png") or "")


def write_png(path, chunks):
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)
