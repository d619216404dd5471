"""python -m disentangle_jax.evaluate --clip=..., on a model of a tiny generator that nothing is known about."""

import html
import json
import re
import shlex
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax import evaluate, media
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.evaluation.given_clips import measure_clips
from disentangle_jax.evaluation.proxies import Instruments
from disentangle_jax.evaluation.suite import COPY_DRIVING, OURS
from disentangle_jax.inversion import Inversion
from disentangle_jax.inversion.latent_files import write_latents
from disentangle_jax.latents import sample_ws
from disentangle_jax.metrics import l1
from disentangle_jax.reenactment import inputs
from disentangle_jax.reenactment.clip_flags import ClipOptions
from disentangle_jax.reenactment.clips import invert_clips, open_clips
from stylegan2_flax import command

FRAMES = 6


@pytest.fixture(scope="module")
def model(workdir):
    return Disentangler.load(workdir)


@pytest.fixture(scope="module")
def ws(model):
    """A face that becomes another and turns back."""
    one, other = np.asarray(sample_ws(model.generator.mapping, jax.random.key(0), 2, 1.0))
    return (one + np.sin(np.arange(FRAMES, dtype=np.float32))[:, None, None] * (other - one) / 2).astype(np.float32)


@pytest.fixture(scope="module")
def files(model, ws, tmp_path_factory):
    """The clip as latents and as lossless frames; and what is no clip."""
    folder = tmp_path_factory.mktemp("clips")
    write_latents(folder / "latents.safetensors", ws, model.generator)
    write_latents(folder / "face.safetensors", ws[:1], model.generator)
    pictures = media.to_uint8(np.asarray(model.render(ws)))
    media.save_video(pictures, folder / "frames")
    media.save_image(pictures[0], folder / "photo.png")
    media.save_video(pictures[:2], folder / "two.gif", fps=10)
    text = (folder / "latents.safetensors").read_bytes()
    recorded = re.search(rb'"generator_digest":"(\w)', text)
    assert recorded
    other = b"0" if recorded[1] != b"0" else b"1"
    (folder / "another.safetensors").write_bytes(text[: recorded.start(1)] + other + text[recorded.end(1) :])
    data = (folder / "two.gif").read_bytes()
    (folder / "damaged.gif").write_bytes(data[: len(data) // 2])
    return folder


def call(workdir, out, *given):
    fixed = [f"--model={workdir}", f"--out={out}", "--face_finder=none"]
    command.run(evaluate.main, evaluate.FLAGS, ["evaluate", *fixed, *given])


@pytest.fixture
def inverter(monkeypatch, model, ws):
    """Stands for the inversion: its latents are those of the clip, and off by `error`; it keeps what it was told."""
    told = SimpleNamespace(error=0.0)

    def invert(self, images, method, *, encoder, clip, before, settings):
        told.method, told.clip, told.settings = method, clip, settings
        found = ws[: len(images)] + np.float32(told.error)
        return Inversion(found, images, np.full(len(images), 12.0), np.ones(len(images)), {})

    monkeypatch.setattr(Disentangler, "invert", invert)
    return told


def test_clips_have_a_section_of_their_own(workdir, files, tmp_path, capsys, inverter):
    inverter.error = 0.3
    given = [f"--clip=frames:{files / 'frames'}", f"--clip={files / 'latents.safetensors'}"]
    options = ["--clip_frames=5", "--method=optimise", "--space=w", "--steps=3"]
    with pytest.warns(UserWarning, match=r"frames could not be inverted well \(12\.0 dB, less than 20\)"):
        call(workdir, tmp_path, *given, *options)
    assert (inverter.method, inverter.clip) == ("optimise", True)
    assert (inverter.settings.space, inverter.settings.optimise.steps) == ("w", 3)
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert set(metrics) - {"clips"} == {"motion", "probes", "retrieval", "reconstruction", "reenactment"}
    clips = metrics["clips"]["clips"]
    assert list(clips) == ["frames", "latents.safetensors"]
    assert [(clip["num_frames"], clip["cut_from"]) for clip in clips.values()] == [(5, FRAMES)] * 2
    footage, inverted = (clips["frames"]["self"][against] for against in ("footage", "inverted"))
    for method in inverted:
        assert abs(footage[method]["l1"] - inverted[method]["l1"]) <= footage[COPY_DRIVING]["l1"] + 1e-6
    assert set(metrics["clips"]["cross"]["ours"]) == {"latent_jitter_ratio"}
    output = capsys.readouterr().out
    assert output.index("frames: only the first 5 of about 6 frames are looked at") < output.index("held-out")
    assert f"{clips['frames']['inversion']['psnr']:.1f} ({clips['frames']['inversion']['psnr_worst']:.1f})" in output
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Your clips</h2>" in page
    assert "self-driven: " in page
    for opening in ("table", "tr", "td", "th", "p", "section"):
        assert len(re.findall(rf"<{opening}[ >]", page)) == page.count(f"</{opening}>"), opening
    assert (tmp_path / "eval" / "clips.png").is_file()
    again = html.unescape(re.findall(r"python -m disentangle_jax\.evaluate .*", page)[0])
    assert {*given, *options} < set(shlex.split(again))


def test_the_command_of_a_report_finds_clips_and_encoder_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ClipOptions(("a.gif", "clip:1"), encoder="e4e.pt")
    assert options.arguments() == [f"--clip={tmp_path}/a.gif", "--clip=clip:1", f"--encoder={tmp_path}/e4e.pt"]
    assert ClipOptions(("clip:1",), encoder="faces64").arguments()[-1] == "--encoder=faces64"


def test_lossless_frames_have_the_numbers_of_the_latents_that_they_show(model, ws, files, inverter):
    """The inversion being exact, all that is left between the two is what pixels lose in 8 bits."""
    options = ClipOptions((f"frames:{files / 'frames'}", str(files / "latents.safetensors")))
    with pytest.warns(UserWarning, match="could not be inverted well"):  # which the inverter says of itself
        clips = invert_clips(open_clips(model, options), options, lambda stage: None)
    methods = {COPY_DRIVING: lambda source, driving: driving, OURS: model.transfer}
    found = measure_clips(clips, methods, Instruments(), FRAMES, lambda stage: None)
    frames, latents = found["clips"].values()
    assert frames["self"]["inverted"] == latents["self"]["inverted"]
    assert "inversion" not in latents
    images = model.render(ws)
    lost = np.asarray(l1(jnp.asarray(media.from_uint8(media.to_uint8(images))), images))
    assert frames["inversion"]["l1"] == pytest.approx(lost.mean(), rel=1e-3)
    to_footage, to_latents = frames["self"]["footage"][OURS]["l1"], latents["self"]["inverted"][OURS]["l1"]
    assert abs(to_footage - to_latents) <= lost[1:].mean() + 1e-6
    assert to_latents > 3 * lost.mean(), "so that the bound says something"
    assert found["pairs"][0]["methods"] == found["pairs"][1]["methods"], "both are the same clip"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photo.png", "photo.png is a single picture: give a clip of at least 3 frames, a video"),
        ("face.safetensors", "face.safetensors is a single picture: give a clip of at least 3 frames"),
        ("two.gif", "two.gif has 2 frames: give a clip of at least 3"),
        ("nowhere.mp4", "there is no picture or video at .*nowhere.mp4"),
        ("nowhere.safetensors", "no latent file at .*nowhere.safetensors"),
        ("frames", "frames is a folder of photos, .* say --clip=frames:"),
        ("another.safetensors", "holds latents of another generator"),
        ("damaged.gif", "damaged.gif"),
    ],
)
def test_what_is_no_clip_is_told_in_a_line_before_any_work(workdir, files, tmp_path, capsys, name, message):
    with pytest.raises(SystemExit, match=message) as stop:
        call(workdir, tmp_path, f"--clip={files / 'latents.safetensors'}", f"--clip={files / name}")
    assert "\n" not in str(stop.value.code)
    assert "held-out" not in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--clip=seed:1"], "seed:1 is a single picture"),
        (["--clip=clip:1", "--clip=clip:1"], "--clip=clip:1 is given twice"),
        (["--clip=gs://bucket/a.mp4"], "--clip=gs://bucket/a.mp4 is a URL"),
        (["--clip=frames:{files}/frames", "--method=encoder"], "--method=encoder needs an encoder, and none is"),
        (["--steps=5"], "--steps says how clips are read: give one too"),
        (["--clip=clip:1", "--clip_frames=2"], "--clip_frames"),
    ],
)
def test_flags_that_contradict_each_other_are_told(workdir, files, tmp_path, given, message):
    with pytest.raises(SystemExit, match=message):
        call(workdir, tmp_path, *(text.format(files=files) for text in given))
    assert not list(tmp_path.iterdir())


def test_of_a_clip_without_end_no_more_is_read_than_is_looked_at(model, files, tmp_path, monkeypatch):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield np.zeros((8, 8, 3), np.uint8)

    frames = media.Frames(tmp_path / "endless.mp4", 25.0, None, False, endless)
    monkeypatch.setattr(inputs.media, "read_frames", lambda path: frames)
    (opened,) = open_clips(model, ClipOptions((str(tmp_path / "endless.mp4"),), 20))
    assert (opened.footage.num_frames, opened.total) == (20, 0)
    assert len(list(opened.footage.shown(8))) == 20
    assert read <= 3 * 21


def test_clips_of_one_name_are_told_apart_by_their_paths(model, files, tmp_path):
    for folder in ("a", "b"):
        media.save_video(
            np.zeros((3, 8, 8, 3), np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None, None],
            tmp_path / folder / "x.gif",
            fps=5,
        )
    names = [str(tmp_path / folder / "x.gif") for folder in ("a", "b")]
    assert [clip.name for clip in open_clips(model, ClipOptions((*names, "clip:1")))] == [*names, "clip:1"]
