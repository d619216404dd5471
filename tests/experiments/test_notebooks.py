"""The notebooks run from top to bottom, in a fresh kernel, on the wheel."""

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import nbclient
import nbformat
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax import media
from disentangle_jax.configs import faces64
from disentangle_jax.directions import Directions
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.model import Autoencoder

COLAB = Path(__file__).parents[2] / "experiments" / "colab"
NAMES = sorted(path.name for path in COLAB.glob("*.ipynb"))

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Jupyter's packages


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model of a tiny generator, exported."""
    config = faces64.get_config("demo,linear")
    config.generator = "tiny"
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=1)
    mean, std = jnp.zeros((4, 8)), jnp.ones((4, 8))

    @jax.jit
    def build(key):
        rngs = nnx.Rngs(key)
        sizes: dict[str, Any] = {
            "mapping_kwargs": {"num_layers": 2},
            "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
        }
        generator = sg2.Generator(16, 0, 8, 8, **sizes, rngs=rngs)
        return Autoencoder(mean, std, **config.model, rngs=rngs), generator

    autoencoder, generator = build(jax.random.key(0))
    vectors = jnp.eye(32).reshape(-1, 4, 8)[:2]
    folder = tmp_path_factory.mktemp("model")
    Disentangler(autoencoder, generator, Directions(vectors, vectors, mean, ("x", "y")), config).export(folder)
    return str(folder)


@pytest.fixture
def execute(site, tmp_path, monkeypatch):
    """Runs a notebook in a folder of its own, with other parameters. Returns its outputs."""

    def run(name, **parameters):
        monkeypatch.setenv("PYTHONPATH", str(site))
        monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"].replace("count=8", "count=1"))
        notebook = nbformat.read(COLAB / name, 4)
        (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
        cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
        client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}})
        client.execute()
        return [output for cell in notebook.cells for output in cell.get("outputs", ())]

    return run


def pictures(outputs):
    return [kind for output in outputs for kind in output.get("data", ()) if kind in ("image/png", "image/gif")]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_told_about_and_holds_no_outputs(name):
    notebook = nbformat.read(COLAB / name, 4)
    first = notebook.cells[0].source
    assert re.match(r"# \w", first)
    assert f"/experiments/colab/{name})" in first
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            ast.parse(re.sub(r"^(\s*)%pip .*$", r"\1pass", cell.source, flags=re.MULTILINE))


def test_all_notebooks_are_given_an_owner_at_once(tmp_path):
    shutil.copytree(COLAB, tmp_path / "experiments" / "colab")
    makefile = f"--makefile={COLAB.parents[1] / 'Makefile'}"
    for name in ("someone", "someone-else"):
        subprocess.run(["make", makefile, "owner", f"NAME={name}"], cwd=tmp_path, check=True, capture_output=True)
    for path in (tmp_path / "experiments" / "colab").iterdir():
        named = re.findall(r"github(?:\.com)?/([^/]+)/disentangle_jax", path.read_text())
        assert named == ["someone-else"] * 2
        nbformat.validate(nbformat.read(path, 4))
    assert sorted(path.name for path in (tmp_path / "experiments" / "colab").iterdir()) == NAMES


def test_a_model_is_restored_swapped_and_moved(execute, model, tmp_path):
    outputs = execute("restore.ipynb", MODEL=model)
    assert pictures(outputs) == ["image/png"] * 3 + ["image/gif"]
    assert (tmp_path / "motion.gif").stat().st_size < 2**20


@pytest.mark.slow
def test_pictures_are_inverted_and_driven(execute, model, tmp_path):
    assert pictures(execute("your_pictures.ipynb", MODEL=model, STEPS=3)) == ["image/png"] * 2 + ["image/gif"]
    assert (tmp_path / "driven.gif").is_file()
    media.save_image(np.zeros((12, 9, 3), np.float32), tmp_path / "mine.png")
    given = {"PICTURES": [str(tmp_path / "mine.png")] * 2, "VIDEO": str(tmp_path / "driven.gif")}
    assert len(pictures(execute("your_pictures.ipynb", MODEL=model, STEPS=3, **given))) == 3


@pytest.mark.slow
def test_a_random_generator_goes_all_the_way(execute, tmp_path):
    fields = {"num_clips": 2, "num_frames": 4}, {"num_faces": 24, "num_frames": 2}, {"num_faces": 4, "num_frames": 4}
    sections = dict(zip(("motion", "probes", "retrieval"), fields, strict=True))
    small = {f"evaluation.{name}.{field}": n for name, of in sections.items() for field, n in of.items()}
    small |= {"evaluation.num_pairs": 16, "evaluation.num_readout_faces": 200, "evaluation.pictures.num_clips": 1}
    small |= {"model.width": 16, "train.batch_size": 8, "clips.stats_samples": 64}
    outputs = execute("your_generator.ipynb", STEPS=20, SIZES=[f"--config.{name}={n}" for name, n in small.items()])
    assert len(pictures(outputs)) >= 4
    assert {"model.safetensors", "generator.safetensors", "README.md"} <= set(os.listdir(tmp_path / "exported"))


@pytest.mark.slow
def test_a_run_on_eight_devices_is_restored_on_one(execute, tmp_path):
    flags = [
        "--config.train.num_steps=8",
        "--config.optimizer.warmup_steps=2",
        "--config.optimizer.name=adamw",
        "--config.directions.num_samples=128",
    ]
    flags += ["--config.model.width=16", "--config.clips.stats_samples=64", "--config.train.batch_size=8"]
    outputs = execute("tpu_and_cuda.ipynb", FLAGS=flags)
    text = "".join(output.get("text", "") for output in outputs)
    assert "8 x cpu, the batch split over them" in text
    assert pictures(outputs) == ["image/png"]
