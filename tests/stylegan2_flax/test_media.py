import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from stylegan2_flax import media

RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def test_bytes_survive_the_way_there_and_back():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    floats = media.from_uint8(pixels)
    assert floats.dtype == np.float32
    assert (floats.min(), floats.max()) == (-1, 1)
    assert np.array_equal(media.to_uint8(floats), pixels)


def test_what_is_out_of_range_is_clipped_and_nan_refused():
    wild = np.array([-9.0, 0.0, 9.0], np.float32).reshape(1, 3, 1)
    assert media.to_uint8(wild).ravel().tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match="NaN"):
        media.to_uint8(np.full((2, 2, 3), np.nan, np.float32))


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
    with pytest.raises(ValueError, match="1 or 3 channels"):
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


def test_images_of_one_batch_have_one_size(tmp_path):
    for name, side in (("a", 4), ("b", 4), ("c", 6)):
        media.save_image(images(side, 4, 3), tmp_path / f"{name}.png")
    assert media.load_images([tmp_path / "a.png", tmp_path / "b.png"]).shape == (2, 4, 4, 3)
    with pytest.raises(ValueError, match=r"c\.png is 4x6, but .*a\.png is 4x4"):
        media.load_images([tmp_path / "a.png", tmp_path / "c.png"])
    with pytest.raises(ValueError, match="no image paths"):
        media.load_images([])


def test_a_grid_has_its_images_where_they_belong():
    cells, left, top = images(2, 3, 5, 4, 3), images(2, 5, 6, 3), images(3, 7, 4, 3)
    plain = media.image_grid(cells, gap=1)
    assert plain.shape == (11, 14, 3)
    assert np.array_equal(plain[6:11, 10:14], cells[1, 2])
    assert np.all(plain[5] == 1)
    full = media.image_grid(cells, row_headers=left, column_headers=top, gap=1)
    assert full.shape == (11 + 7 + 4, 14 + 6 + 4, 3)
    assert np.array_equal(full[11:16, 10:14], cells[0, 0])
    assert np.array_equal(full[11:16, :6], left[0])
    assert np.array_equal(full[:7, 20:24], top[2])
    assert np.all(full[:7, :6] == 1)


def test_a_grid_of_bytes_is_that_of_floats():
    cells, left, top = images(2, 3, 5, 4, 3), images(2, 5, 6, 3), images(3, 7, 4, 3)
    as_bytes, top_bytes, corner = media.to_uint8(cells), media.to_uint8(top), images(7, 6, 3)
    floats = media.image_grid(cells, row_headers=left, column_headers=top_bytes, corner=corner)
    pixels = media.image_grid(as_bytes, row_headers=left, column_headers=top, corner=corner)
    assert floats.dtype == np.float32
    assert pixels.dtype == np.uint8
    assert np.array_equal(media.to_uint8(floats), pixels)


def test_resizing_keeps_colours_and_leaves_the_right_size_alone():
    flat = np.full((2, 8, 8, 3), 0.5, np.float32)
    assert np.allclose(media.resize(flat, 20), 0.5, atol=0.01)
    assert media.resize(images(2, 3, 8, 8, 3), 12).shape == (2, 3, 12, 12, 3)
    same = images(1, 8, 8, 3)
    assert np.array_equal(media.resize(same, 8), same)


def test_a_gif_has_all_frames_and_runs_forever(tmp_path):
    media.save_video(images(5, 8, 9, 3), tmp_path / "a.gif", fps=10)
    with Image.open(tmp_path / "a.gif") as clip:
        assert getattr(clip, "n_frames", 1) == 5
        assert clip.size == (9, 8)
        assert clip.info["loop"] == 0
        assert clip.info["duration"] == 100


@pytest.mark.parametrize("shape", [(16, 16), (17, 31)])
def test_an_mp4_of_any_size(tmp_path, shape):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    media.save_video(images(4, *shape, 3), tmp_path / "a.mp4")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "a.mp4")]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    height, width = (side + side % 2 for side in shape)
    assert f"{width}x{height}" in told
    assert "12 fps" in told


def test_frames_may_come_one_by_one(tmp_path):
    frames = images(4, 8, 8, 3)
    media.save_video(frames, tmp_path / "a.gif")
    media.save_video((media.to_uint8(frame) for frame in frames), tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_frame_that_does_not_fit_leaves_no_video(tmp_path, suffix):
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    for bad in (images(8, 10, 3), images(8, 8, 1), np.full((8, 8, 3), np.nan, np.float32)):
        with pytest.raises(ValueError, match=r"one size, in colour|NaN"):
            media.save_video(iter([images(8, 8, 3), bad]), tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_fails_is_reported(tmp_path, monkeypatch):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    failing = tmp_path / "ffmpeg"
    failing.write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(failing))
    with pytest.raises(OSError, match="could not write the video: no such codec"):
        media.save_video(images(50, 64, 64, 3), tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_an_mp4_without_its_encoder_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match="pip install imageio-ffmpeg"):
        media.save_video(images(2, 8, 8, 3), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_other_videos_and_empty_ones_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must be one of \.gif, \.mp4"):
        media.save_video(images(2, 8, 8, 3), tmp_path / "a.avi")
    with pytest.raises(ValueError, match="at least one frame"):
        media.save_video(images(0, 8, 8, 3), tmp_path / "a.gif")
