"""python -m disentangle_jax.find_directions: what it writes, and what it says to a wrong call."""

import json
import signal
import subprocess
import sys
from functools import partial

import pytest
from PIL import Image

import stylegan2_flax as sg2
from disentangle_jax import find_directions
from disentangle_jax.configs import faces64
from disentangle_jax.directions import Directions
from stylegan2_flax import command


@pytest.fixture(scope="module")
def tiny_generator(untrained):
    """Writes a generator, and gives the name of its file."""
    sizes = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 64, "channel_max": 8}}

    def write(path, classes=0, resolution=8, channels=3):
        build = partial(sg2.Generator, 16, classes, 12, resolution, channels, **sizes)
        sg2.save(untrained(lambda rngs: build(rngs=rngs)), path)
        return str(path)

    return write


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_generator):
    config = faces64.get_config("linear")
    config.generator = tiny_generator(tmp_path_factory.mktemp("generator") / "tiny.safetensors")
    config.clips.mix_from = 3
    config.directions.update(source="sefa", num_samples=64, layers=(0, 2), num=2, candidates=3, rank_faces=4)
    return config


@pytest.mark.parametrize("rank", ["none", "pictures"])
def test_directions_are_written_ranked_and_drawn(config, tmp_path, rank):
    config.directions.rank = rank
    find_directions.write_directions(config, tmp_path / "out")
    directions = Directions.load(tmp_path / "out" / "directions.safetensors")
    ranking = json.loads((tmp_path / "out" / "ranking.json").read_text())
    assert ranking["by"] == "pictures"  # of a generator that no scorer knows
    assert len(ranking["directions"]) == (2 if rank == "none" else 3)
    assert {row["name"] for row in ranking["directions"] if row["kept"]} == set(directions.names)
    with Image.open(tmp_path / "out" / "directions.png") as sheet:
        assert sheet.width > 15 * 72
        assert 2 * 72 < sheet.height < 3 * 72


def test_a_wrong_call_is_told_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="--config is missing"):
        command.run(find_directions.main, find_directions.FLAGS, ["find_directions", f"--out={tmp_path}"])


def test_an_invalid_config_is_told_before_anything_is_loaded(config, tmp_path, monkeypatch):
    monkeypatch.delattr(find_directions, "load_generator")
    config = config.copy_and_resolve_references()
    config.directions.update(rank_faces=1, ridge=0.0)
    with pytest.raises(ValueError, match=r"ridge must be positive, .*\n.*rank_faces must be a"):
        find_directions.write_directions(config, tmp_path / "out")


@pytest.mark.parametrize(
    ("resolution", "channels", "classes", "chosen"),
    [(4, 1, 0, ()), (4, 4, 3, (2,)), pytest.param(8, 4, 3, (), marks=pytest.mark.slow)],
)
def test_generators_of_other_channels_classes_and_sizes_are_served(
    config, tiny_generator, tmp_path, resolution, channels, classes, chosen
):
    config = config.copy_and_resolve_references()
    config.generator = tiny_generator(tmp_path / "generator.safetensors", classes, resolution, channels)
    config.clips.update(mix_from=1, classes=chosen)
    config.directions.update(source="pca", rank="pictures", layers=(0, 1), pca_samples=64)
    find_directions.write_directions(config, tmp_path / "out")
    assert len(Directions.load(tmp_path / "out" / "directions.safetensors").names) == 2
    with Image.open(tmp_path / "out" / "directions.png") as sheet:
        assert sheet.mode == "RGB"


def test_directions_that_lie_there_are_kept_unless_forced(config, tmp_path):
    config.directions.rank = "none"
    find_directions.write_directions(config, tmp_path)
    before = (tmp_path / "directions.safetensors").stat().st_mtime_ns
    with pytest.raises(ValueError, match="--force to overwrite them"):
        find_directions.write_directions(config, tmp_path)
    assert (tmp_path / "directions.safetensors").stat().st_mtime_ns == before
    (tmp_path / "readout.safetensors").write_text("of earlier directions")
    written = find_directions.write_directions(config, tmp_path, force=True)
    assert (tmp_path / "directions.safetensors").stat().st_mtime_ns > before
    assert {path.name for path in tmp_path.iterdir()} == set(written)


def test_the_faces_drawn_are_of_the_class_asked_for(config, tiny_generator, tmp_path):
    config = config.copy_and_resolve_references()
    config.generator = tiny_generator(tmp_path / "generator.safetensors", classes=3, resolution=4, channels=4)
    config.clips.mix_from = 1
    config.directions.update(rank="none", layers=(0, 1))
    with pytest.raises(ValueError, match="no class 3: this generator has the classes 0 to 2"):
        find_directions.write_directions(config, tmp_path / "none", label=3)
    assert not (tmp_path / "none").exists()
    sheets = []
    for label in (None, 0, 2):
        find_directions.write_directions(config, tmp_path / "out", force=True, label=label)
        sheets.append((tmp_path / "out" / "directions.png").read_bytes())
    assert len(set(sheets)) == 3


def test_ctrl_c_is_one_line_and_leaves_no_half_written_file(config, tmp_path):
    """A real signal, to a process of its own, once it has begun to rank."""
    config = config.copy_and_resolve_references()
    config.directions.update(rank="pictures", rank_faces=64, candidates=12)
    (tmp_path / "config.json").write_text(config.to_json())
    arguments = (f"--config={tmp_path / 'config.json'}", f"--out={tmp_path / 'out'}")
    command = [sys.executable, "-m", "disentangle_jax.find_directions", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "ranking" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Interrupted. Every file that was written is whole."
    assert "Traceback" not in said
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("out", ["file", "file/out"])
def test_a_file_in_place_of_a_folder_is_named_before_directions_are_sought(config, tmp_path, monkeypatch, out):
    monkeypatch.delattr(find_directions, "load_generator")
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ValueError, match=f"{out} cannot be written: .*/file is a file"):
        find_directions.write_directions(config, tmp_path / out)


def test_a_url_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--config=faces64", "--out=https://host/out"]
    with pytest.raises(SystemExit, match="--out=https://host/out is a URL"):
        command.run(find_directions.main, find_directions.FLAGS, ["find_directions", *given])
    assert not list(tmp_path.iterdir())
