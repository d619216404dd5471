import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from stylegan2_flax import media
from stylegan2_flax.media.gif import gif_delays

RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def test_a_gif_has_all_frames_and_runs_forever(tmp_path):
    media.save_video(images(5, 8, 9, 3), tmp_path / "a.gif", fps=10)
    with Image.open(tmp_path / "a.gif") as clip:
        assert getattr(clip, "n_frames", 1) == 5
        assert clip.size == (9, 8)
        assert clip.info["loop"] == 0
        assert clip.info["duration"] == 100


@pytest.mark.parametrize("shape", [(16, 16), (17, 31)])
def test_an_mp4_of_any_size(tmp_path, shape):
    pytest.importorskip("av")
    media.save_video(images(4, *shape, 3), tmp_path / "a.mp4")
    frames = media.read_frames(tmp_path / "a.mp4")
    even = tuple(side + side % 2 for side in shape)
    assert [frame.shape for frame in frames] == [(*even, 3)] * 4
    assert frames.fps == 12


def test_an_animated_webp(tmp_path):
    pytest.importorskip("av")
    grey = np.repeat(np.linspace(-1, 1, 24, dtype=np.float32), 9 * 7 * 3).reshape(24, 9, 7, 3)
    media.save_video(grey, tmp_path / "a.webp", fps=12)
    with Image.open(tmp_path / "a.webp") as clip:
        assert clip.info["loop"] == 0
    frames = media.read_frames(tmp_path / "a.webp")
    assert (frames.fps, frames.num_frames) == (pytest.approx(12, rel=0.01), 24)
    assert np.abs(np.stack(list(frames)).astype(int) - media.to_uint8(grey)).max() < 4


def test_a_folder_of_frames(tmp_path):
    frames = images(11, 8, 9, 3)
    media.save_video(frames, tmp_path / "new" / "clip")
    assert np.array_equal(np.stack(list(media.read_frames(tmp_path / "new" / "clip"))), media.to_uint8(frames))
    for taken, words in ((tmp_path / "new" / "clip", "is not empty"), (tmp_path / "file", "is a file")):
        (tmp_path / "file").touch()
        with pytest.raises(ValueError, match=words):
            media.save_video(frames, taken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "new"]
    assert len(list((tmp_path / "new" / "clip").iterdir())) == 11


def test_frames_may_come_one_by_one(tmp_path):
    frames = images(4, 8, 8, 3)
    media.save_video(frames, tmp_path / "a.gif")
    media.save_video((media.to_uint8(frame) for frame in frames), tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ""])
def test_a_frame_that_does_not_fit_leaves_no_video(tmp_path, suffix):
    if suffix == ".mp4":
        pytest.importorskip("av")
    for bad in (images(8, 10, 3), images(8, 8, 1), np.full((8, 8, 3), np.nan, np.float32)):
        with pytest.raises(ValueError, match=r"one size, in colour|NaN"):
            media.save_video(iter([images(8, 8, 3), bad]), tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, full_disk, suffix):
    pytest.importorskip("av")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    full_disk(20_000)
    with pytest.raises(OSError, match="could not be written, for the disk is full"):
        media.save_video([np.roll(noise, i, 0) for i in range(90)], tmp_path / f"a{suffix}")
    full_disk(resource.RLIM_INFINITY)  # what the test prints needs room
    assert not list(tmp_path.iterdir())


def test_an_mp4_without_its_encoder_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        media.save_video(images(2, 8, 8, 3), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_other_videos_and_empty_ones_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must be one of \.gif, \.mp4, \.webp, or none for a folder"):
        media.save_video(images(2, 8, 8, 3), tmp_path / "a.avi")
    with pytest.raises(ValueError, match="at least one frame"):
        media.save_video(images(0, 8, 8, 3), tmp_path / "a.gif")


def delays(path):
    with Image.open(path) as clip:
        return [frame.info.get("duration", 0) for frame in ImageSequence.Iterator(clip)]


def test_a_gif_lasts_as_long_as_its_frames(tmp_path):
    media.save_video(images(60, 8, 8, 3), tmp_path / "a.gif", fps=30)
    assert delays(tmp_path / "a.gif") == [30, 30, 40] * 20
    assert sum(gif_delays(29.97, 300)) == 1001
    assert gif_delays(25, 4) == [4, 4, 4, 4]
    assert sum(gif_delays(12, 120)) == 1000
    assert set(gif_delays(12, 120)) == {8, 9}


def test_a_gif_that_players_would_slow_down_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match=r"more than 50 frames a second, and a\.gif has 60: write an \.mp4"):
        media.save_video(images(6, 8, 8, 3), tmp_path / "a.gif", fps=60)
    assert sum(delays(tmp_path / "a.gif")) == 100
    media.save_video(images(2, 8, 8, 3), tmp_path / "b.gif", fps=50)
    pytest.importorskip("av")
    media.save_video(images(2, 8, 8, 3), tmp_path / "a.mp4", fps=60)


@pytest.mark.parametrize("fps", [0, -1, 0.0001, 1e9, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(tmp_path, fps):
    with pytest.raises(ValueError, match=r"from 0.01 to 1000 frames a second, got"):
        media.save_video(images(2, 8, 8, 3), tmp_path / "a.gif", fps=fps)
    assert not list(tmp_path.iterdir())


def test_the_slowest_and_the_fastest_video_are_written(tmp_path):
    media.save_video(images(2, 8, 8, 3), tmp_path / "slow.gif", fps=0.01)
    assert delays(tmp_path / "slow.gif") == [100_000] * 2
    pytest.importorskip("av")
    for fps in (0.01, 1000):
        media.save_video(images(2, 8, 8, 3), tmp_path / f"{fps}.mp4", fps=fps)
        assert (tmp_path / f"{fps}.mp4").stat().st_size > 0


def test_frames_of_a_gif_that_are_alike_stay_apart(tmp_path):
    still, moved = np.zeros((2, 9, 8, 3), np.uint8)
    still[2:4, 3] = 255
    moved[2:4, 5] = 255
    media.save_video([still, still, moved, still], tmp_path / "a.gif", fps=10)
    assert delays(tmp_path / "a.gif") == [100] * 4
    with Image.open(tmp_path / "a.gif") as clip:
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(clip)]
    assert np.array_equal(shown, [still, still, moved, still])


def test_batches_of_frames_give_the_video_of_single_ones(tmp_path):
    frames = images(7, 8, 9, 3)
    media.save_video(frames, tmp_path / "a.gif")
    with media.open_video(tmp_path / "b.gif") as video:
        video.write(frames[:3])
        video.write(media.to_uint8(frames[3:6]))
        video.write(frames[6])
        assert video.num_frames == 7
        assert not (tmp_path / "b.gif").exists()
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webp"])
def test_an_error_between_frames_leaves_what_was_there(tmp_path, suffix):
    if suffix == ".mp4":
        pytest.importorskip("av")
    (path := tmp_path / f"a{suffix}").write_bytes(b"before")

    def interrupted():
        with media.open_video(path) as video:
            video.write(images(3, 32, 32, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_told_before_any_frame_is_asked_for(tmp_path):
    def never():
        raise AssertionError("a frame was drawn")
        yield

    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a folder"):
        media.save_video(never(), tmp_path / "folder.gif")
    with pytest.raises(ValueError, match="file is a file"):
        media.save_video(never(), tmp_path / "file" / "a.gif")


def test_a_video_in_grey_or_with_alpha_is_shown_in_colour(tmp_path):
    grey, clear = np.full((2, 8, 8, 1), 0.5, np.float32), np.full((2, 8, 8, 4), -1, np.float32)
    for frames, colour in ((grey, 191), (clear, 255)):
        media.save_video(frames, tmp_path / "a.gif")
        with Image.open(tmp_path / "a.gif") as clip:
            assert np.unique(np.asarray(clip.convert("RGB"))).tolist() == [colour]


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path):
    """80 frames of 512x512 are 252 MB in float32, and 63 MB in bytes; .mp4 takes a look at some dozens ahead."""
    pytest.importorskip("av")
    code = f"""
import resource, numpy as np
from stylegan2_flax import media
def peak(suffix, t):
    with media.open_video({str(tmp_path / "a")!r} + str(t) + suffix) as video:
        for i in range(t):
            video.write(np.full((512, 512, 3), i / t, np.float32))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(peak(".gif", 8), peak(".gif", 80), peak(".mp4", 60), peak(".mp4", 140))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    gif_before, gif_after, mp4_before, mp4_after = map(float, done.stdout.split())
    assert gif_after - gif_before < 30
    assert mp4_after - mp4_before < 30
