"""The built wheel holds both packages and the bundled networks, and works without the checkout."""

import os
import subprocess
import sys

import pytest

USE = """
import stylegan2_flax, disentangle_jax
from importlib.metadata import version
from disentangle_jax.faces import Judge, Truth
from disentangle_jax.generators import load_generator
assert "site" in disentangle_jax.__file__ and "site" in stylegan2_flax.__file__, disentangle_jax.__file__
generator = load_generator("faces64")
import jax.numpy as jnp
images = generator.synthesis(generator.mapping(jnp.ones((1, generator.z_dim))))
versions = {disentangle_jax.__version__, stylegan2_flax.__version__, version("disentangle_jax")}
assert len(versions) == 1, versions
print(Judge.load("judge_a")(images).shape, Truth.load("faces64").mean.shape)
from disentangle_jax.configs import faces64, ffhq1024, gan_folder
print("seed", ffhq1024.get_config().seed)
from disentangle_jax.report import report
print(report.environment().get_template("report.html.jinja").name)
"""


@pytest.fixture(scope="module")
def used(site, tmp_path_factory):
    """What code prints that finds the packages in the unpacked wheel."""
    environment, folder = {**os.environ, "PYTHONPATH": str(site)}, tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_works_without_the_checkout(used):
    assert "(1, 16) (64,)" in used


def test_the_wheel_holds_the_cards_and_the_licence(site):
    assets = {path.name for path in (site / "disentangle_jax" / "assets").iterdir()}
    assert {"faces64.json", "judge_a.json", "judge_b.json"} <= assets
    assert list(site.glob("*.dist-info/**/LICENSE"))


def test_the_wheel_holds_all_files_of_bundled_models(site):
    held = {path.name for path in (site / "disentangle_jax" / "assets" / "models" / "exported").iterdir()}
    assert held == {"config.json", "SHA256SUMS", "model.safetensors", "README.md", "motion.gif"}


def test_the_wheel_holds_the_configs(site, used):
    assert "seed 0\n" in used
    assert not (site / "disentangle_jax" / "configs").is_symlink()


def test_the_wheel_holds_the_templates_of_the_report(site, used):
    assert "report.html.jinja\n" in used
    assert (site / "disentangle_jax" / "report" / "templates" / "style.css").exists()


def test_the_wheel_says_that_it_is_typed(site):
    assert (site / "disentangle_jax" / "py.typed").exists()
    assert (site / "stylegan2_flax" / "py.typed").exists()
