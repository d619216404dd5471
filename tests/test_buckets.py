"""Commands on a model that lies in a bucket, from stored clips to an export."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from disentangle_jax import arrays, evaluate, export, find_directions, invert, make_clips, media, train, transfer
from disentangle_jax.clips.clip_dataset import NAME, ClipDataset, features_of, folder_of
from disentangle_jax.clips.stored_clips import open_clips
from disentangle_jax.configs import faces64
from disentangle_jax.disentangler import Disentangler
from stylegan2_flax import command, files
from stylegan2_flax.run import config_flag

SHORT = {
    "data.tile": 2,
    "data.clips_per_shard": 8,
    "train.num_steps": 3,
    "train.checkpoint_every": 2,
    "evaluation.num_pairs": 16,
    "evaluation.num_selection_pairs": 16,
    "evaluation.num_readout_faces": 60,
    "evaluation.motion.num_clips": 2,
    "evaluation.motion.num_frames": 4,
    "evaluation.probes.num_faces": 24,
    "evaluation.probes.num_frames": 2,
    "evaluation.retrieval.num_faces": 4,
    "evaluation.retrieval.num_frames": 4,
    "evaluation.pictures.num_sources": 1,
    "evaluation.pictures.num_drivings": 1,
    "evaluation.pictures.num_pairs": 1,
    "evaluation.pictures.num_clips": 1,
}


@pytest.fixture(autouse=True, scope="module")
def alone():
    """JAX looks for a cluster of processes in new processes alone."""

    def no_cluster(*_, **__):
        raise ValueError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.distributed, "initialize", no_cluster)
        yield


def call(program, *arguments):
    command.run(program.main, program.FLAGS, [program.__name__, *map(str, arguments)])


@pytest.fixture(scope="module")
def config(write_tiny_config):
    """The flag of a tiny config."""
    return write_tiny_config(SHORT)


def test_clips_in_a_bucket_are_read_from_a_copy_on_the_local_disk(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    features = features_of((2, 4, 8), 1, "float32", None)
    dataset = ClipDataset(folder_of(bucket / "small"), 3, 2, features, {"seed": 0})
    ws = np.random.default_rng(0).normal(size=(3, 2, 4, 8)).astype(np.float32)
    rows = {
        "ws": ws,
        "augmented": -ws,
        "coefficients": ws[:, :, 0, :1],
        "index": np.arange(3),
        "seed": np.zeros(3, int),
    }
    dataset.begin()
    for shard in range(2):
        dataset.write(shard, iter([{name: values[dataset.indices(shard)] for name, values in rows.items()}]))
    dataset.finish()
    data = ConfigDict({"dataset": NAME, "directory": str(bucket / "small"), "split": "train"})

    def read():
        np.testing.assert_array_equal([clip["ws"] for clip in open_clips(data, (4, 8), {})], ws)
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*array_record*") if path.is_file()}

    copied = read()
    assert len(copied) == 2
    assert read() == copied


def test_what_is_wrong_with_a_file_in_a_bucket_is_told_of_that_file(bucket):
    (bucket / "bad.safetensors").write_bytes(b"nothing of use")
    with pytest.raises(ValueError, match=r"gs://bucket/bad\.safetensors"):
        arrays.load(bucket / "bad.safetensors")


def test_a_workdir_in_a_bucket_is_a_model_of_ones_own_and_its_config_a_config(bucket, monkeypatch):
    config = faces64.get_config()
    files.write_text(bucket / "recorded" / "config.json", config.to_json())
    folders = []
    monkeypatch.setattr(evaluate, "evaluate", lambda source, out, *_: folders.append((source, out)))
    call(evaluate, f"--workdir={bucket / 'recorded'}")
    assert folders == [(str(bucket / "recorded"), bucket / "recorded")]
    assert config_flag.load(str(bucket / "recorded" / "config.json")).to_json() == config.to_json()


@pytest.fixture(scope="module")
def run(config, bucket):
    """A run on clips that are stored in the bucket, whose workdir lies there too."""
    call(make_clips, config, f"--out={bucket / 'data'}", "--num_clips=24")
    stored = ("--config.data.source=stored", f"--config.data.directory={bucket / 'data'}")
    call(train, config, *stored, f"--workdir={bucket / 'run'}")
    return bucket / "run"


@pytest.mark.slow
def test_training_on_clips_of_a_bucket_is_that_on_clips_of_its_own(run, config, tmp_path):
    call(train, config, f"--workdir={tmp_path / 'run'}")
    assert (run / "metrics.jsonl").read_text() == (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_a_model_in_a_bucket_is_evaluated_exported_and_loaded(run, bucket, tmp_path):
    call(evaluate, f"--workdir={run}", "--face_finder=none")
    assert {"metrics.json", "transfer_grid.png", "motion.gif"} <= {path.name for path in (run / "eval").iterdir()}
    assert "<html" in (run / "report.html").read_text()
    for out in (bucket / "exported", tmp_path / "exported"):
        call(export, f"--workdir={run}", f"--out={out}")
    ws = np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32)
    expected = Disentangler.load(str(run)).transfer(ws[0], ws[1:])
    for folder in (bucket / "exported", tmp_path / "exported"):
        np.testing.assert_array_equal(Disentangler.load(str(folder)).transfer(ws[0], ws[1:]), expected)
    there = {path.name: path.read_bytes() for path in (tmp_path / "exported").iterdir()}
    assert there == {path.name: path.read_bytes() for path in (bucket / "exported").iterdir()}
    with pytest.raises(SystemExit, match="exists and is not empty"):
        call(export, f"--workdir={run}", f"--out={bucket / 'exported'}")


@pytest.mark.slow
def test_a_model_in_a_bucket_drives_and_inverts(run, tmp_path):
    call(transfer, f"--model={run}", "--source=seed:1", "--driving=seed:2", f"--out={tmp_path / 'faces.png'}")
    with Image.open(tmp_path / "faces.png") as picture:
        assert picture.width > 3 * 256
    media.save_image(np.zeros((8, 8, 3), np.float32), tmp_path / "photo.png")
    short = ("--steps=2", "--config.scout.steps=2", "--config.starts=1", "--config.candidates=2", "--align=none")
    with pytest.warns(UserWarning, match="not inverted well"):
        call(
            invert, f"--model={run}", f"--input={tmp_path / 'photo.png'}", f"--out={tmp_path / 'a.safetensors'}", *short
        )
    assert (tmp_path / "a.safetensors").is_file()


@pytest.mark.slow
def test_what_was_found_for_a_run_in_a_bucket_goes_into_another(run, config, bucket, tmp_path):
    found = f"--config.directions.source={run / 'directions.safetensors'}"
    call(train, config, found, f"--workdir={tmp_path / 'run'}")
    model, other = Disentangler.load(str(run)), Disentangler.load(tmp_path / "run")
    np.testing.assert_array_equal(other.directions.vectors, model.directions.vectors)
    call(train, f"--config={run / 'config.json'}", "--dry-run", f"--workdir={tmp_path / 'again'}")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (transfer, ("--source=seed:1", "--driving=seed:2", "--out=gs://bucket/faces.png")),
        (transfer, ("--source=gs://bucket/a.png", "--driving=seed:2", "--out=faces.png")),
        (invert, ("--input=gs://bucket/a.png", "--out=latents.safetensors")),
        (invert, ("--input=a.png", "--out=gs://bucket/latents.safetensors")),
        (find_directions, ("--config=faces64", "--out=gs://bucket/directions")),
    ],
)
def test_what_needs_a_local_disk_says_so(program, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = () if program is find_directions else ("--model=faces64",)
    with pytest.raises(SystemExit, match="local") as stop:
        call(program, *model, *arguments)
    assert "\n" not in str(stop.value)
    assert not list(tmp_path.iterdir())
