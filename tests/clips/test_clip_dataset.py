"""Clips on disk: written whole, resumed after a kill, read in the order in which training would have made them."""

import inspect
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds

import stylegan2_flax as sg2
from disentangle_jax.clips import Clip, clip_dataset
from disentangle_jax.clips import write_clips as writing
from disentangle_jax.clips.clip_dataset import ClipDataset, folder_of
from disentangle_jax.clips.provenance import check_provenance, provenance_of
from disentangle_jax.clips.stored_clips import StoredClips, _Batches, open_clips
from disentangle_jax.clips.streams import open_stream
from disentangle_jax.clips.write_clips import write_clips
from disentangle_jax.configs import faces64
from stylegan2_flax.run import parallel

ROOT = Path(__file__).parents[2]
KEY = jax.random.key(7)
NUM_CLIPS = 20
SIZES: dict[str, Any] = {"channel_base": 64, "channel_max": 4}


def make_config(directory=""):
    config = faces64.get_config("demo,linear")
    config.data.update(source="stored", directory=str(directory), tile=2, threads=1, prefetch=2, clips_per_shard=8)
    config.clips.layers, config.directions.style_mixing = "each", 0.0
    config.train.batch_size = 8
    return config


@pytest.fixture(scope="module")
def source(each_source):
    return each_source


@pytest.fixture(scope="module")
def directory(source, tmp_path_factory):
    """A data set of three shards, in float32 and without frames."""
    out = tmp_path_factory.mktemp("data")
    write_clips(make_config(), source, KEY, out, NUM_CLIPS, "float32")
    return out


@pytest.fixture
def config(directory):
    return make_config(directory)


def contents(out):
    return {path.name: path.read_bytes() for path in folder_of(out).iterdir()}


def open_source(out) -> Any:
    return tfds.data_source("synthetic_clips", data_dir=out, split="train")


def stream_of(config, source):
    return open_stream(config, source, KEY, parallel.make_mesh(config.train.batch_size))


def batch(stream, step):
    return jax.jit(stream.clips)(stream.fetch(step), jnp.array(step))


def assert_same(clips, others):
    for one, other in zip(clips, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_tfds_opens_it_by_name(directory, source):
    clips = open_source(directory)
    assert len(clips) == NUM_CLIPS
    assert [clip["index"] for clip in clips] == list(range(NUM_CLIPS))
    assert clips[3]["seed"] == 0
    assert clips[3]["ws"].shape == clips[3]["augmented"].shape == (4, 6, 8)
    assert clips[3]["ws"].dtype == np.float32
    builder: Any = tfds.builder_from_directory(folder_of(directory))
    assert builder.info.metadata["directions"]["names"] == list(source.directions.names)
    assert [split.shard_lengths for split in builder.info.splits.values()] == [[8, 8, 4]]
    assert "tensorflow" not in sys.modules


def test_stored_batches_are_those_that_training_makes(config, source):
    stored = stream_of(config, source)
    config.data.source = "generated"
    generated = stream_of(config, source)
    for step in (0, 1):
        clips = batch(stored, step)
        assert len(clips.ws.sharding.device_set) == 8
        assert_same(clips, batch(generated, step))


def members(stream, steps, clips):
    """The indices of the clips in each batch."""
    known = {clip["ws"].tobytes(): clip["index"] for clip in clips}
    return [[known[np.asarray(ws).tobytes()] for ws in stream.fetch(step)["ws"]] for step in range(steps)]


def test_later_epochs_have_an_order_of_their_own(config, source):
    clips = open_source(config.data.directory)
    places = np.concatenate(members(stream_of(config, source), 8, clips))
    assert list(places[:20]) == list(range(20))
    second, third = places[20:40], places[40:60]
    assert sorted(second) == sorted(third) == list(range(20))
    assert list(second) != list(range(20)) != list(third) != list(second)
    config.seed = 1
    assert list(np.concatenate(members(stream_of(config, source), 5, clips))[20:40]) != list(second)


def test_a_resumed_run_reads_on_where_it_was(config, source):
    stream, resumed = stream_of(config, source), stream_of(config, source)
    whole = [stream.fetch(step) for step in range(6)]
    for step in (4, 5, 2):
        assert_same(resumed.fetch(step).values(), whole[step].values())


def test_each_process_reads_its_own_rows():
    clips = [dict.fromkeys(Clip._fields, np.float32(i)) for i in range(10)]

    class Source(list):
        def __getitems__(self, keys):
            return [self[key] for key in keys]

    source: Any = Source(clips)

    parts = [_Batches(source, 0, 4, rows)[3] for rows in ([0, 1], [2, 3])]
    whole = _Batches(source, 0, 4, [0, 1, 2, 3])[3]
    np.testing.assert_array_equal(whole["ws"], np.concatenate([part["ws"] for part in parts]))


def sample_toy(source, key):
    ws = jax.random.normal(key, (3, 6, 8))
    return Clip(ws, -ws, ws[:, 0, :2])


def toy(directory, source, synthesis=None, dtype="float32", num_clips=NUM_CLIPS):
    """Write clips that take no time to compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "sample_clip", sample_toy)
        write_clips(make_config(), source, KEY, directory, num_clips, dtype, synthesis)
    return directory


@pytest.fixture(scope="module")
def toys(source, tmp_path_factory):
    return toy(tmp_path_factory.mktemp("toys"), source)


def test_half_precision_takes_half_the_room(source, toys, tmp_path):
    half, whole = open_source(toy(tmp_path, source, dtype="float16"))[2], open_source(toys)[2]
    assert half["ws"].dtype == np.float16
    np.testing.assert_array_equal(half["ws"], whole["ws"].astype(np.float16))
    np.testing.assert_array_equal(half["coefficients"], whole["coefficients"])
    stream = StoredClips(open_source(tmp_path), 0, 8, parallel.make_mesh(8), 1, 1)
    assert stream.fetch(0)["ws"].dtype == jnp.float16
    assert batch(stream, 0).ws.dtype == jnp.float32


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_are_those_of_the_latents(source, untrained, tmp_path, channels):
    synthesis = untrained(lambda rngs: sg2.SynthesisNetwork(8, 16, channels, **SIZES, rngs=rngs))
    clip = open_source(toy(tmp_path, source, synthesis, num_clips=2))[1]
    images = np.clip(jax.jit(lambda net, ws: net(ws, noise_mode="const"))(synthesis, clip["ws"]), -1, 1)
    assert np.stack(clip["frames"]).dtype == np.uint8
    assert np.stack(clip["frames"]).shape == (3, 16, 16, channels)
    np.testing.assert_allclose(np.stack(clip["frames"]) / 127.5 - 1.0, images, atol=1 / 127)


KILLED = """
import os, pathlib, pickle, signal, sys
from disentangle_jax.clips.clip_dataset import ClipDataset
sys.path.insert(0, str(pathlib.Path(sys.argv[1]).parent))
import test_clip_dataset
out, serialise, written = sys.argv[2], ClipDataset._serialise, []

def die(dataset, clip):
    written.append(clip)
    if len(written) == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return serialise(dataset, clip)

ClipDataset._serialise = die
test_clip_dataset.toy(out, pickle.loads(sys.stdin.buffer.read()))
"""


def test_killed_run_goes_on_at_the_shard_where_it_was(source, toys, tmp_path):
    """A real kill, at the third of the second shard's eight clips."""
    command = [sys.executable, "-c", KILLED, __file__, str(tmp_path)]
    killed = subprocess.run(command, input=pickle.dumps(source), capture_output=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = folder_of(tmp_path)
    first = Path(folder / "synthetic_clips-train.array_record-00000-of-00003")
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 3
    assert left[0].startswith(".synthetic_clips")
    assert left[1:] == ["metadata.json", first.name]
    with pytest.raises(ValueError, match="is unfinished: run its make_clips command again"):
        open_clips(make_config(tmp_path).data, (6, 8), {})
    written = first.stat().st_mtime_ns
    assert contents(toy(tmp_path, source)) == contents(toys)
    assert first.stat().st_mtime_ns == written


def test_signal_stops_between_two_batches_and_leaves_no_litter(source, toys, tmp_path, monkeypatch):
    serialise, written = ClipDataset._serialise, []

    def interrupted(dataset, clip):
        written.append(clip)
        if len(written) == 11:
            os.kill(os.getpid(), signal.SIGTERM)
        return serialise(dataset, clip)

    monkeypatch.setattr(ClipDataset, "_serialise", interrupted)
    with pytest.raises(SystemExit, match=r"Stopped by SIGTERM.*same command goes on"):
        toy(tmp_path, source)
    assert "dataset_info.json" not in contents(tmp_path)
    assert not [name for name in contents(tmp_path) if name.startswith(".")]
    monkeypatch.undo()
    assert contents(toy(tmp_path, source)) == contents(toys)


def test_other_clips_in_the_folder_are_refused(source, toys):
    before = contents(toys)
    with pytest.raises(ValueError, match=r"holds other clips:\n  dtype: float32 there, float16 now\n.*--out"):
        toy(toys, source, dtype="float16")
    assert contents(toys) == before


def test_clips_of_another_generator_directions_or_recipe_are_refused(config, source):
    other = replace(source, mapping=jax.tree.map(lambda x: x + 1, source.mapping))
    with pytest.raises(ValueError, match="made with the generator 'faces64', whose mapping network is another"):
        stream_of(config, other)
    other = replace(source, directions=source.directions.select([1, 0]))
    with pytest.raises(ValueError, match=r"other directions.*directions\.safetensors"):
        stream_of(config, other)
    config.clips.update(amplitude=2.0, layers="together")
    message = r"another recipe.*\n  clips\.amplitude: 1\.0 there, 2\.0 now\n  clips\.layers: each there, together now\n"
    with pytest.raises(ValueError, match=message):
        stream_of(config, source)


def test_clips_that_another_scorer_purified_are_refused(config, source):
    def by(scorer):
        purifier = jax.tree_util.Partial(lambda scorer, clip: clip, np.full(2, scorer, np.float32))
        return provenance_of(config, replace(source, purifier=purifier))

    check_provenance(by(1.0), by(1.0))
    with pytest.raises(ValueError, match=r"purified by another scorer.*factors\.safetensors"):
        check_provenance(by(1.0), by(2.0))
    before = {name: value for name, value in by(1.0).items() if name != "purifier"}  # earlier versions told nothing
    check_provenance(before, by(2.0))


def foreign(out, **features):
    """A data set of someone else, of which nothing but the clips is known."""
    dataset = ClipDataset(folder_of(out), 8, 8, tfds.features.FeaturesDict(features), {})
    dataset.begin()
    rows = {name: np.zeros((8, *feature.shape), feature.np_dtype) for name, feature in features.items()}
    dataset.write(0, iter([rows]))
    dataset.finish()
    return make_config(out)


def tensor(*shape):
    return tfds.features.Tensor(shape=shape, dtype=np.float32)


def test_data_sets_of_others_are_read(source, tmp_path):
    config = foreign(tmp_path, ws=tensor(2, 6, 8), augmented=tensor(2, 6, 8), coefficients=tensor(2, 1), x=tensor(1))
    assert batch(stream_of(config, source), 0).coefficients.shape == (8, 2, 1)
    config.train.batch_size = 16
    with pytest.raises(ValueError, match="holds 8 clips, fewer than a batch of 16"):
        stream_of(config, source)
    config.data.split = "test"
    with pytest.raises(ValueError, match="has no split 'test': it has train"):
        stream_of(config, source)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"ws": tensor(2, 6, 8)}, "lacks the feature augmented, coefficients; it has ws"),
        (
            {"ws": tensor(2, 9, 8), "augmented": tensor(2, 9, 8), "coefficients": tensor(2, 1)},
            r"has ws of shape \[2, 9, 8\]; with this generator it must be \[2, 6, 8\]",
        ),
        (
            {"ws": tensor(2, 6, 8), "augmented": tensor(3, 6, 8), "coefficients": tensor(2, 1)},
            r"has augmented of shape \[3, 6, 8\]",
        ),
    ],
)
def test_data_sets_that_do_not_fit_are_refused(source, tmp_path, features, message):
    with pytest.raises(ValueError, match=message):
        stream_of(foreign(tmp_path, **features), source)


def test_no_data_set_is_said(source, tmp_path):
    with pytest.raises(ValueError, match=r"'synthetic_clips' in '.*' cannot be opened"):
        stream_of(make_config(tmp_path), source)


def test_an_unknown_data_set_is_said_in_one_line(source, tmp_path):
    config = make_config(tmp_path)
    config.data.dataset = "synthetic_clipz"
    with pytest.raises(ValueError, match=r"'synthetic_clipz' in '.*' cannot be opened") as error:
        stream_of(config, source)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_the_internals_of_tfds_are_those_that_the_writer_was_tried_with():
    """TFDS documents neither; where this fails, try the writer by hand and name the version here."""
    tried = ("4.9.10",)
    found = {
        clip_dataset.DatasetIdentity: {"name", "version", "data_dir", "module_name"},
        clip_dataset.ExampleSerializer: {"example_specs"},
        clip_dataset.SplitDict: {"split_infos"},
    }
    for internal, wanted in found.items():
        has = set(inspect.signature(internal).parameters)
        assert wanted <= has, f"{internal} of TFDS {tfds.__version__} takes {has}; tried with {', '.join(tried)}"
    assert hasattr(clip_dataset.ExampleSerializer, "get_tf_example")
    for path in (Path(clip_dataset.__file__).parents[1]).rglob("*.py"):
        uses = "tensorflow_datasets.core." in path.read_text(encoding="utf-8")
        assert not uses or path.name == "clip_dataset.py", f"{path} uses internals of TFDS"
