"""Reading photos, folders, animations and videos as they are meant to be seen."""

import itertools
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from stylegan2_flax import media
from stylegan2_flax.media.reading import read_frames

av = pytest.importorskip("av")
MS = Fraction(1, 1000)
RED, GREEN = (220, 40, 40), (40, 200, 60)


def corner(height=32, width=48, color=RED):
    """A grey picture whose upper left quarter has a colour."""
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[: height // 2, : width // 2] = color
    return picture


def levels(n, height=32, width=48):
    """Frames that can be told apart: frame i is grey of level 10 + i % 25 * 9."""
    return [np.full((height, width, 3), 10 + i % 25 * 9, np.uint8) for i in range(n)]


def numbers(frames):
    return [round((float(frame.mean()) - 10) / 9) for frame in frames]


def write(path, pictures, times=None, *, codec="libx264", turn=0, ratio=None, pixels="yuv420p", sound=None):
    """A video of frames shown at these milliseconds (if not said: 25 a second), written with PyAV itself."""
    unit = MS if times else 40 * MS
    times = times or list(range(len(pictures)))
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, 25)
        stream.height, stream.width, stream.pix_fmt = (*pictures[0].shape[:2], pixels)
        stream.codec_context.time_base = unit
        if ratio:
            stream.sample_aspect_ratio = ratio
        if turn:
            stream.set_display_rotation(turn)
        audio = output.add_stream(sound, 16000, layout="mono") if sound else None
        for picture, time in zip(pictures, times, strict=True):
            form = "rgba" if picture.shape[-1] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(picture, format=form)
            frame.pts, frame.time_base = time, unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if audio:
            beep = np.sin(np.arange(16000 * len(pictures) // 25) / 5)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(beep, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            output.mux(audio.encode(frame))
            output.mux(audio.encode(None))
    return path


def test_a_picture_that_starts_after_the_sound_is_not_cut_short(tmp_path):
    path = write(tmp_path / "late.mkv", levels(10), [2000 + 40 * i for i in range(10)], sound="aac")
    assert numbers(read_frames(path)) == list(range(10))


def test_a_photo_is_one_picture_without_a_rate(tmp_path):
    Image.fromarray(corner()).save(tmp_path / "a.png")
    frames = read_frames(tmp_path / "a.png")
    assert (frames.fps, frames.num_frames, frames.has_audio) == (None, 1, False)
    (picture,) = frames
    assert np.array_equal(picture, corner())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    Image.fromarray(corner()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (picture,) = read_frames(tmp_path / "a.jpg")
    assert picture.shape == (48, 32, 3)
    assert np.abs(picture[5, -5].astype(int) - RED).max() < 12


def test_a_folder_gives_its_pictures_in_the_order_of_their_numbers(tmp_path):
    for number, picture in enumerate(levels(12)):
        Image.fromarray(picture).save(tmp_path / f"frame{number}.png")
    for name in ("notes.txt", "notes.pdf", "data.h5", "clip.mpg", "page.eps"):
        (tmp_path / name).write_text("not a picture")
    (tmp_path / ".hidden.png").write_text("not a picture either")
    frames = read_frames(tmp_path)
    assert (frames.fps, frames.num_frames) == (None, 12)
    assert numbers(frames) == list(range(12))
    assert numbers(frames) == list(range(12)), "frames can be read again"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
def test_a_video_has_its_frames_its_rate_and_its_colours(tmp_path, suffix):
    frames = read_frames(write(tmp_path / f"a{suffix}", levels(10)))
    assert (frames.fps, frames.has_audio) == (25, False)
    assert numbers(frames) == list(range(10))
    (picture, *_) = read_frames(write(tmp_path / f"b{suffix}", [corner()] * 3))
    assert np.abs(picture.astype(int) - corner()).mean() < 3


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_video_of_a_turned_phone_stands_upright(tmp_path, turn):
    """The angle is counterclockwise, as in the file's display matrix."""
    frames = read_frames(write(tmp_path / "a.mp4", [corner()] * 2, turn=turn))
    expected = np.rot90(corner(), turn // 90)
    for picture in frames:
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(int) - expected).mean() < 3


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    (picture,) = read_frames(write(tmp_path / "a.mp4", [corner()], ratio=Fraction(4, 3)))
    assert picture.shape == (32, 64, 3)


def test_transparent_parts_of_a_video_are_white(tmp_path):
    clear = np.dstack([corner(), np.zeros((32, 48), np.uint8)])
    clear[8:, :, 3] = 255
    (picture,) = read_frames(write(tmp_path / "a.mov", [clear], codec="qtrle", pixels="argb"))
    assert np.all(picture[:8] == 255)
    assert np.array_equal(picture[8:], corner()[8:])


def test_odd_sides(tmp_path):
    pixels = "yuv444p"  # which has no need of even ones
    (picture,) = read_frames(write(tmp_path / "a.mkv", [corner(33, 47)], codec="libx264", pixels=pixels))
    assert picture.shape == (33, 47, 3)


def test_a_variable_rate_becomes_constant_and_keeps_its_time(tmp_path):
    """A pause of 0.4 s between frames 9 and 10, and a burst of three frames in 40 ms at the end."""
    times = [*range(0, 400, 40), *range(760, 1160, 40), 1165, 1170]
    frames = read_frames(write(tmp_path / "a.mkv", levels(22), times))
    assert frames.fps == 25
    got = numbers(frames)
    assert got[:10] == list(range(10))
    assert got[9:19] == [9] * 10, "the pause lasts as long as it did"
    assert got[19:28] == list(range(10, 19))
    assert len(got) == 30


def test_a_rate_that_is_a_unit_of_time_is_measured(tmp_path, monkeypatch):
    from stylegan2_flax.media import decoder

    monkeypatch.setattr(decoder, "_MAX_FPS", 20)  # so that the stated 25 is none
    times = [100 * i for i in range(10)]
    frames = read_frames(write(tmp_path / "a.mkv", levels(10), times))
    assert frames.fps == 10
    assert numbers(frames) == list(range(10))


def test_sound_is_seen(tmp_path):
    assert read_frames(write(tmp_path / "a.mp4", levels(5), sound="aac")).has_audio


def animation(path, delays):
    first, *rest = map(Image.fromarray, levels(len(delays)))
    first.save(path, save_all=True, append_images=rest, duration=delays, loop=0, lossless=True)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_has_its_frames_and_its_rate(tmp_path, suffix):
    frames = read_frames(animation(tmp_path / f"a{suffix}", [40, 40, 40, 40]))
    assert (frames.fps, frames.num_frames) == (25, 4)
    assert numbers(frames) == [0, 1, 2, 3]
    frames = read_frames(animation(tmp_path / f"b{suffix}", [100, 100, 300, 100]))
    assert (frames.fps, frames.num_frames) == (10, 6)
    assert numbers(frames) == [0, 1, 2, 2, 2, 3]


@pytest.mark.parametrize("fps", [12, 25, 29.97, 60])
@pytest.mark.filterwarnings("ignore:most programs slow down")
def test_a_gif_of_any_rate_is_read_as_it_was_written(tmp_path, fps):
    media.save_video(levels(24), tmp_path / "a.gif", fps=fps)
    frames = read_frames(tmp_path / "a.gif")
    assert frames.fps == pytest.approx(fps, rel=0.02)
    assert numbers(frames) == list(range(24))


def noise(n):
    rng = np.random.default_rng(0)
    return [np.kron(rng.integers(0, 255, (4, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(n)]


def test_a_damaged_video_gives_what_it_can_and_says_where_it_broke(tmp_path):
    data = write(tmp_path / "a.mp4", noise(50)).read_bytes()
    middle = (data.index(b"mdat") + data.index(b"moov")) // 2
    (tmp_path / "hole.mp4").write_bytes(data[:middle] + bytes(100) + data[middle + 100 :])
    frames = iter(read_frames(tmp_path / "hole.mp4"))
    assert next(frames).shape == (32, 48, 3)
    with pytest.raises(media.UnreadableVideoError, match=r"hole\.mp4 is damaged after frame \d+ \(\d\.\d s\)"):
        list(frames)
    (tmp_path / "cut.mp4").write_bytes(data[:middle])  # without the index at its end
    with pytest.raises(media.UnreadableVideoError, match=r"cut\.mp4 is no picture and no video, or is damaged or cut"):
        read_frames(tmp_path / "cut.mp4")
    data = write(tmp_path / "a.mkv", noise(50)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    with pytest.raises(media.UnreadableVideoError, match=r"cut\.mkv is cut short: it says that it lasts 2\.0 s, but"):
        list(read_frames(tmp_path / "cut.mkv"))


def sound_alone(path):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", 16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        output.mux([*stream.encode(frame), *stream.encode(None)])


def test_what_holds_no_pictures_is_named_with_the_reason(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:10,\n{tmp_path}/a.mp4\n")
    write(tmp_path / "a.mp4", levels(2))
    sound_alone(tmp_path / "song.m4a")
    with av.open(str(tmp_path / "none.avi"), "w") as output:
        stream = output.add_stream("libx264", 25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        output.start_encoding()
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.gif").write_bytes(animation(tmp_path / "a.gif", [40] * 4).read_bytes()[:-60])
    Image.fromarray(corner()).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-20])
    for name, words in {
        "nowhere.mp4": "there is no picture or video at",
        "empty.mp4": "no picture and no video",
        "text.mp4": "no picture and no video",
        "list.mp4": "no picture and no video",  # it would have other files read
        "song.m4a": "holds no video, only sound",
        "none.avi": "a video without frames",
        "folder": "there are no pictures in the folder",
        "cut.gif": "damaged",
        "cut.jpg": "damaged or cut short",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
            list(read_frames(tmp_path / name))
        assert name in str(error.value)
        assert "\n" not in str(error.value)


def test_a_video_without_pyav_names_it(tmp_path, monkeypatch):
    write(tmp_path / "a.mp4", levels(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        read_frames(tmp_path / "a.mp4")


def test_what_is_written_is_read_with_its_sound_and_its_colours(tmp_path):
    """AAC is copied, Opus is not known to every player of .mp4 and is encoded anew; both end with the frames."""
    for name, codec in (("a.mp4", "aac"), ("a.mkv", "libopus")):
        source = write(tmp_path / name, levels(50), sound=codec)
        with media.open_video(tmp_path / "out.mp4", 25, audio=source) as video:
            for _ in range(25):
                video.write(corner())
        assert read_frames(tmp_path / "out.mp4").has_audio
        pictures = list(read_frames(tmp_path / "out.mp4"))
        assert len(pictures) == 25
        assert np.abs(pictures[-1].astype(int) - corner()).mean() < 3
        with av.open(str(tmp_path / "out.mp4")) as file:
            sound = np.concatenate([frame.to_ndarray().mean(0) for frame in file.decode(audio=0)])
            assert file.streams.audio[0].codec_context.name == "aac"
            assert len(sound) / file.streams.audio[0].codec_context.sample_rate == pytest.approx(1.0, abs=0.15)
            assert np.abs(sound).mean() > 0.1
    with media.open_video(tmp_path / "silent.mp4", 25, audio=write(tmp_path / "b.mp4", levels(3))) as video:
        video.write(corner())
    assert not read_frames(tmp_path / "silent.mp4").has_audio


def test_memory_does_not_grow_with_the_length_of_what_is_read(tmp_path):
    """160 frames of 256x384 are 47 MB."""
    code = f"""
import resource
from stylegan2_flax import media
def peak(path):
    count = sum(frame.shape == (256, 384, 3) for frame in media.read_frames(path))
    return count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(*peak({str(tmp_path / "short.mp4")!r}), *peak({str(tmp_path / "long.mp4")!r}))
"""
    for name, n in (("short", 20), ("long", 160)):
        media.save_video(itertools.repeat(corner(256, 384), n), tmp_path / f"{name}.mp4", fps=25)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    short, before, long, after = map(int, done.stdout.split())
    assert (short, long) == (20, 160)
    assert after - before < 30
