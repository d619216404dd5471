"""python -m disentangle_jax.find_directions: what it writes, and what it says to a wrong call."""

import json

import jax
import pytest
from absl import app, flags
from absl.testing import flagsaver
from flax import nnx
from PIL import Image

import stylegan2_flax as sg2
from disentangle_jax import command, find_directions
from disentangle_jax.configs import faces64
from disentangle_jax.directions import Directions


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    sizes = {"channel_base": 64, "channel_max": 8}
    build = jax.jit(lambda key: sg2.Generator(16, 0, 12, 8, synthesis_kwargs=sizes, rngs=nnx.Rngs(key)))
    sg2.save(build(jax.random.key(0)), path)
    config = faces64.get_config()
    config.generator = str(path)
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
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(out=str(tmp_path)), pytest.raises(app.UsageError, match="both needed"):
        command.call(find_directions.main, ["find_directions"])
